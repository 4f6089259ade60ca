package cache

import (
	"fmt"
	"testing"

	"github.com/headrace/headrace/objstore"
)

// What is small is kept where LOTA answers, what is large when it is fetched again, and everything where no cache is in
// front of the store.
func TestPolicy(t *testing.T) {
	near := true
	small := objstore.Version{Bucket: "b", Key: "small", ETag: "1", Size: SmallObject}
	large := objstore.Version{Bucket: "b", Key: "large", ETag: "1", Size: SmallObject + 1}
	other := objstore.Version{Bucket: "b", Key: "large", ETag: "2", Size: SmallObject + 1}
	for _, c := range []struct {
		policy       Policy
		small, large Reason // fetched first
		again        Reason // the large one, fetched again
	}{
		{KeepAll, KeptAll, KeptAll, KeptAll},
		{KeepAuto, KeptSmall, LeftLarge, KeptAgain},
		{KeepSmall, KeptSmall, LeftByPolicy, LeftByPolicy},
		{KeepNone, LeftByPolicy, LeftByPolicy, LeftByPolicy},
	} {
		k := newKeeper(c.policy, func() bool { return near })
		if got := k.decide(small, 0); got != c.small {
			t.Errorf("policy %d, small: %v, want %v", c.policy, got, c.small)
		}
		if got := k.decide(large, 3); got != c.large {
			t.Errorf("policy %d, large: %v, want %v", c.policy, got, c.large)
		}
		if got := k.decide(large, 4); got != c.large {
			t.Errorf("policy %d, another chunk: %v, want %v", c.policy, got, c.large)
		}
		if got := k.decide(other, 3); got != c.large {
			t.Errorf("policy %d, another version: %v, want %v", c.policy, got, c.large)
		}
		if got := k.decide(large, 3); got != c.again {
			t.Errorf("policy %d, again: %v, want %v", c.policy, got, c.again)
		}
		k.ask(other)
		if got := k.decide(other, 7); got != KeptAsked {
			t.Errorf("policy %d, asked for: %v", c.policy, got)
		}
	}
	k := newKeeper(KeepAuto, func() bool { return near })
	near = false
	if got := k.decide(large, 0); got != KeptAll {
		t.Errorf("without LOTA: %v", got)
	}
	near = true
	if got := k.decide(large, 0); got != KeptAgain {
		t.Errorf("again, and LOTA is back: %v", got)
	}
}

// What was asked for is bounded in number, and the last one is always known.
func TestPolicyAsked(t *testing.T) {
	k := newKeeper(KeepNone, nil)
	for n := range 3 * maxAsked {
		v := objstore.Version{Key: fmt.Sprint(n)}
		k.ask(v)
		if n%1000 == 0 && k.decide(v, 0) != KeptAsked {
			t.Fatalf("number %d is not kept", n)
		}
	}
	if len(k.asked) > maxAsked {
		t.Errorf("%d versions are remembered", len(k.asked))
	}
}

func TestParsePolicy(t *testing.T) {
	for name, want := range map[string]Policy{"auto": KeepAuto, "all": KeepAll, "small": KeepSmall, "none": KeepNone} {
		if got, err := ParsePolicy(name); got != want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParsePolicy("some"); err == nil {
		t.Error("a policy that is none")
	}
}
