package main

import "strings"

// source is what is mounted: one bucket, a part of one, or (bucket empty) every bucket there is.
type source struct {
	bucket string
	prefix string // "" or the key prefix of what is shown, ending in "/"
}

const sourceScheme = "s3://"

// parseSource reads s3://BUCKET[/PREFIX] or s3://. Everything after the bucket's slash is the prefix, byte for byte;
// only the slash at its end may be left out.
func parseSource(arg string) (source, error) {
	rest, ok := strings.CutPrefix(arg, sourceScheme)
	if !ok {
		return source{}, usage("%q is not a bucket: write it as s3://BUCKET, s3://BUCKET/PREFIX, or s3:// for all buckets", arg)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if bucket == "" && rest != "" {
		return source{}, usage("%q names no bucket: write it as s3://BUCKET/PREFIX", arg)
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return source{bucket: bucket, prefix: prefix}, nil
}

func (s source) all() bool { return s.bucket == "" }

// String is the source as the user wrote it, and as mount(8) shows it.
func (s source) String() string {
	if s.all() {
		return sourceScheme
	}
	return strings.TrimSuffix(sourceScheme+s.bucket+"/"+s.prefix, "/")
}
