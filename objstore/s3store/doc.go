// Package s3store speaks to S3 and the stores compatible with it.
package s3store
