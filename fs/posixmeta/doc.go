// Package posixmeta keeps a file's POSIX attributes in the user metadata of its object, in the form that s3fs writes
// and others read.
//
// What it relies on: user metadata is a few names with short values, which the store keeps as they are and gives with
// HEAD and GET, never with a listing. It does no I/O.
//
//	name                     value
//	mode                     type and permissions, as a decimal number (s3fs) or an octal one (rclone)
//	uid, gid                 decimal numbers
//	mtime, atime, ctime      seconds since 1970, with or without a fraction; or RFC 3339 (rclone)
//	xattr                    extended attributes: JSON, {"name":"value in base64"}, escaped as a URL is (s3fs)
//
// A mode without a type, as people write it by hand, is octal. The two forms of a mode cannot be taken for each other:
// a number that is a known type with permissions in decimal is none in octal, and the other way round.
//
// Written are the forms of s3fs. A ctime is never written, and taken off where an object has one: it is the time of the
// store's own change.
package posixmeta
