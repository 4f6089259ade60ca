// Package names turns the keys of a bucket into the names of a directory tree, and back, and remembers for a while what
// the store said of them.
//
// What it relies on: a key is any string of bytes without further structure, and a directory is nothing but a prefix of
// keys. So a directory is identified here by its key prefix ("" or "a/b/"), a name is looked up by computing its key,
// and no state is needed to get from a path to its key. The trade-off it makes: a name costs two requests in parallel
// (is there such an object, is there anything below it) unless a listing or an earlier answer younger than the TTL
// knows it.
//
// # Names
//
// What stands between a directory's prefix and the next "/" (or the end of the key) is a component. Nearly all
// components are shown as they are. The others are shown under an escape that begins with one of three signs:
//
//	the key has, below the directory                     shown as
//	a component that is a valid name                     itself
//	"", ".", "..", NUL, bytes that are not UTF-8,        %name= and the component encoded
//	  or one that begins with a sign itself
//	a file whose component is a directory, too           the directory plainly, and beside it the file: %file= and
//	                                                     the component encoded
//	nothing: the key is the directory's own prefix       %file= (an empty one is the directory's marker: not shown)
//	  and the object is not empty
//	a component that does not fit 255 bytes that way     a directory, %part= and the first piece encoded, and in it
//	                                                     the rest of the component, by the same rules
//
// Encoded means: NUL, "%" and every byte that is not part of valid UTF-8 become "%" and two upper-case hexadecimal
// digits; all else stays. For example
//
//	key              path
//	a/b              a/b
//	100%/x           100%/x
//	a//b             a/%name=/b
//	a/../b           a/%name=../b
//	caf\xe9          %name=caf%E9
//	%name=x          %name=%25name=x
//	a, with a/b      %file=a
//	a/, with bytes   a/%file=
//	xxx...x (300)    %part=xxx...x (249)/xxx...x (51)
//
// Every key has exactly one path and every path at most one key. That holds because the path is a function of the key
// and of whether its component is a directory as well, and because a name is accepted only when it is the one that the
// key it stands for would be given: "%name=a" does not exist, since "a" needs no escape. A %part= directory has a
// prefix that does not end in "/"; in it only those keys are shown whose component is split just there, so the shorter
// names that share its beginning stay where they belong. Neither depends on any state, only on the prefix and the name.
//
// # Parts
//
//   - escape.go: components and names, pure functions.
//   - classify.go: pages of a listing to items in one pass and bounded memory. Whether file "a" needs an escape is
//     known only when the listing has passed "a/", so it is held back until then; what is held back is always a chain
//     of prefixes of one key.
//   - listing.go, block.go: one pass over a directory, under way or complete, shared by all who read that directory at
//     the time. It is at most one page ahead of its fastest reader.
//   - stream.go: one reader's place in a directory.
//   - renew.go: names that are asked for in order, when their listing is too old, by listing on from there.
//   - walk.go, foresee.go: when, and how, directories are listed ahead of those who walk through a tree.
//   - lookup.go, flight.go: the two requests a name costs, and one such pair for all who ask for it at once.
//   - own.go, ownstream.go: what this mount has made of names itself, and the store may not say yet.
//   - memory.go, recall.go: listings and single answers, both bounded in names, and what makes an answer too old.
//
// # Limits
//
// A store that lists in another order than that of bytes loses and doubles no name either, with two exceptions. Where a
// file and a directory share their name, both may be listed under it; looking up the name and its escape still tells
// them apart. (Stores that list level by level keep objects in folders, and have no such pairs.) And where there is no
// order at all, a %part= directory may be listed more than once.
//
// Keys above 1,024 bytes are taken not to exist: S3 has none.
package names
