package objstore

// UploadLog remembers the multipart uploads of copies while they are under way, so that what a process that was killed
// has left can be told from what is somebody else's. Its methods may be called at the same time.
type UploadLog interface {
	// Intend notes that an upload of a key is about to be created, and gives it a number. When it fails none is created.
	Intend(b Bucket, key string) (number int, err error)
	// Created notes its id. When it fails the upload is given up.
	Created(number int, id string) error
	// Ended notes that it is not in the store any more, or never was. What it cannot note is looked at in vain one day.
	Ended(number int)
}

// unlogged remembers nothing.
type unlogged struct{}

func (unlogged) Intend(Bucket, string) (int, error) { return 0, nil }
func (unlogged) Created(int, string) error          { return nil }
func (unlogged) Ended(int)                          {}
