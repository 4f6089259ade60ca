package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/headrace/headrace/objstore/s3store"
)

const (
	// doctorObjects is how many objects are looked at, at most: ten requests' worth.
	doctorObjects = 10_000
	// doctorNamed is how many are named.
	doctorNamed = 5
)

// errEnough ends the looking.
var errEnough = errors.New("enough")

// objects looks at what an argument names.
func (o doctorOptions) objects(ctx context.Context, arg string) []finding {
	stores := newStores(o.store)
	defer stores.close()
	var seen, large, small int
	var all []finding
	bad := noted
	err := stores.find(ctx, arg, func(found object) error {
		if seen++; seen > doctorObjects {
			return errEnough
		}
		if strings.HasPrefix(found.bucket.Endpoint(), s3store.Origin) { // LOTA spreads parts; other stores do not care
			bad = warned
		}
		if found.Size < lotaSmallest {
			small++
		}
		if unstriped(found.Entry) {
			if large++; large <= doctorNamed {
				all = append(all, finding{"large object", bad, fmt.Sprintf("%s, %s, is of one piece", found.name(), sizeText(found.Size)), "`headrace restripe " + found.name() + "`"})
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return []finding{{"objects", mistaken, fmt.Sprintf("%s: %v", arg, err), ""}}
	}
	if large > doctorNamed {
		all = append(all, finding{"large object", bad, fmt.Sprintf("%d more are of one piece", large-doctorNamed), "`headrace restripe " + arg + "`"})
	}
	bound := ""
	if seen > doctorObjects {
		seen, bound = doctorObjects, "the first "
	}
	return append(all, finding{"objects", fine, fmt.Sprintf("%s: of %s%d, %d are of 4 MB and less, and %d large ones of one piece", arg, bound, seen, small, large), ""})
}
