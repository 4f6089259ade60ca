package objstore

import "fmt"

// Op is one kind of request. Meters count by it, faults are scripted by it.
type Op int

// The requests a [Bucket] and its optional powers make.
const (
	OpAny Op = iota // no request: "whatever the operation" in a script
	OpStat
	OpList
	OpOpen
	OpPut
	OpCreateUpload
	OpUploadPart
	OpCopyPart
	OpCompleteUpload
	OpAbortUpload
	OpListUploads
	OpCopy
	OpDelete
	OpRename
	OpPrestage
	OpTags
	NumOps = int(OpTags) + 1
)

// String is the name S3 has for the request, as it stands in [Error].Op, metrics and logs.
func (o Op) String() string {
	if o < 0 || int(o) >= NumOps {
		return fmt.Sprintf("Op(%d)", int(o))
	}
	return [NumOps]string{
		"Any", "HeadObject", "ListObjectsV2", "GetObject", "PutObject", "CreateMultipartUpload", "UploadPart",
		"UploadPartCopy", "CompleteMultipartUpload", "AbortMultipartUpload", "ListMultipartUploads", "CopyObject",
		"DeleteObject", "RenameObject", "PrestageObject", "GetObjectTagging",
	}[o]
}

// Class is the class of a request whose context carries no [Ticket].
func (o Op) Class() Class {
	switch o {
	case OpStat, OpList, OpDelete, OpRename, OpTags:
		return ClassMetadata
	case OpOpen:
		return ClassDemand
	case OpPrestage:
		return ClassWarm
	default:
		return ClassUpload
	}
}
