package cache

import (
	"fmt"
	"hash/maphash"

	"github.com/headrace/headrace/objstore"
)

// Policy says which of what was read is kept on the disk.
type Policy int

// The policies.
const (
	KeepAll   Policy = iota // everything
	KeepAuto                // where a cache in front of the store serves large objects fast, the small ones and what is read again; else everything
	KeepSmall               // objects that such a cache does not keep
	KeepNone                // nothing
)

// ParsePolicy is the policy of a name: auto, all, small or none.
func ParsePolicy(name string) (Policy, error) {
	p, ok := map[string]Policy{"auto": KeepAuto, "all": KeepAll, "small": KeepSmall, "none": KeepNone}[name]
	if !ok {
		return 0, fmt.Errorf("no policy %q: %w", name, objstore.ErrInvalid)
	}
	return p, nil
}

// SmallObject is the size, in bytes, up to which CoreWeave's LOTA keeps nothing: each read of such an object goes to
// the store behind it.
const SmallObject = 4_000_000

// Reason is why a chunk was kept on the disk, or not.
type Reason int

// The reasons.
const (
	KeptAll      Reason = iota // the policy keeps all
	KeptSmall                  // the object is small
	KeptAgain                  // the chunk was fetched before, and not long ago
	KeptAsked                  // somebody asked for it: see [Cache.Keep]
	LeftLarge                  // the cache in front of the store has it
	LeftByPolicy               // the policy keeps none of it
	NumReasons   = int(LeftByPolicy) + 1
)

// String is the reason as it stands in metrics.
func (r Reason) String() string {
	return [NumReasons]string{"kept_all", "kept_small", "kept_again", "kept_asked", "left_large", "left_by_policy"}[r]
}

func (r Reason) keeps() bool { return r < LeftLarge }

// rememberedChunks is of how many chunks it is known that they were fetched: 4 TiB of whole ones, in 2 MiB of memory.
const rememberedChunks = 1 << 18

// keeper decides what is kept. It is a value: no lock, no clock.
type keeper struct {
	policy Policy
	near   func() bool // whether a cache in front of the store answers now
	seed   maphash.Seed

	seen  []uint64 // hashes of chunks that were fetched, each at its place; a later one takes the place of an earlier
	asked map[objstore.Version]struct{}
}

// maxAsked is how many versions can be asked for at a time. More are forgotten one by one, in no order: they are kept
// by the policy then.
const maxAsked = 1 << 16

func newKeeper(p Policy, near func() bool) keeper {
	return keeper{policy: p, near: near, seed: maphash.MakeSeed(), asked: make(map[objstore.Version]struct{})}
}

// ask has all of v be kept when it is fetched next.
func (k *keeper) ask(v objstore.Version) {
	for other := range k.asked {
		if len(k.asked) < maxAsked {
			break
		}
		delete(k.asked, other)
	}
	k.asked[v] = struct{}{}
}

// decide tells what becomes of a chunk that was fetched.
func (k *keeper) decide(v objstore.Version, chunk int64) Reason {
	if _, ok := k.asked[v]; ok {
		return KeptAsked
	}
	switch k.policy {
	case KeepAll:
		return KeptAll
	case KeepNone:
		return LeftByPolicy
	case KeepSmall:
		if v.Size > SmallObject {
			return LeftByPolicy
		}
		return KeptSmall
	}
	again := k.fetchedBefore(v, chunk) // also where it does not count now: the cache in front may come and go
	switch {
	case v.Size <= SmallObject:
		return KeptSmall
	case !k.near():
		return KeptAll
	case again:
		return KeptAgain
	}
	return LeftLarge
}

// fetchedBefore tells whether a chunk was fetched before, and remembers that it was now.
func (k *keeper) fetchedBefore(v objstore.Version, chunk int64) bool {
	if k.seen == nil {
		k.seen = make([]uint64, rememberedChunks)
	}
	h := maphash.Comparable(k.seed, struct {
		v     objstore.Version
		chunk int64
	}{v, chunk})
	place := &k.seen[h%rememberedChunks]
	before := *place == h
	*place = h
	return before
}
