package upload

import (
	"context"
	"maps"

	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/upload/journal"
)

// Describe makes g the function that tells what user metadata the object is to have, whenever something of the file is
// about to be stored: values by name, laid over what the replaced object has; an empty value takes a name off. It is
// called under no lock of the file's. It is set before anything is written.
func (f *File) Describe(g func() map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.describe = g
}

// described is what is to be laid over the metadata now: what [File.Describe]'s function tells, else what is known from
// a log.
func (f *File) described() map[string]string {
	f.mu.Lock()
	describe, metadata := f.describe, f.target.Metadata
	f.mu.Unlock()
	if describe == nil {
		return metadata
	}
	metadata = describe()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target.Metadata = metadata
	return metadata
}

// Redescribe says that [File.Describe]'s function tells something else now: what is to be stored, or is being stored,
// will have it in the end. False where there is nothing to be stored any more: then it is for the caller to change the
// object. What somebody was told is kept has it after a crash of the mount, too.
func (f *File) Redescribe() (did bool, err error) {
	metadata := f.described()
	f.mu.Lock()
	did = f.content.dirty && (!f.discarded || f.withdrawn != nil)
	f.redescribed = f.redescribed || did
	logged := f.resting.saved || f.resting.acknowledged || f.publication != nil || f.due()
	f.mu.Unlock()
	if did && logged { // else the log will say so when the file is closed
		err = ignoreClosed(f.note(journal.Described{Metadata: metadata}))
	}
	return did, err
}

// describeAgain has an object that was just stored bear what was said since. The caller holds the turnstile.
func (f *File) describeAgain(ctx context.Context, e objstore.Entry) objstore.Entry {
	f.mu.Lock()
	t := f.target
	f.mu.Unlock()
	e = f.describeStored(ctx, t, e)
	f.logFailure("log", f.note(journal.Stored{ETag: e.ETag, Size: e.Size}))
	return e
}

// Describe lays metadata over that of attributes; an empty value takes a name off.
func Describe(a *objstore.Attributes, metadata map[string]string) {
	a.Metadata = layOver(a.Metadata, metadata)
}

// layOver changes metadata by values of which empty ones take names off.
func layOver(metadata, over map[string]string) map[string]string {
	if len(over) == 0 {
		return metadata
	}
	all := maps.Clone(metadata)
	if all == nil {
		all = make(map[string]string, len(over))
	}
	maps.Copy(all, over)
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// bears tells whether an object has what was to be laid over its metadata.
func bears(e objstore.Entry, over map[string]string) bool {
	for name, value := range over {
		if e.Metadata[name] != value {
			return false
		}
	}
	return true
}

// describeStored lays the metadata over that of an object that was just stored with other. Where that fails, the object
// stays as it is: its content is safe, and that is what was asked for.
func (f *File) describeStored(ctx context.Context, t Target, e objstore.Entry) objstore.Entry {
	f.mu.Lock()
	e.Key, e.Size = t.Key, f.content.size
	f.mu.Unlock()
	described, err := f.uploads.rewrite(ctx, t.Bucket, objstore.VersionOf(t.Bucket, e), func(a *objstore.Attributes) {
		a.Metadata = layOver(a.Metadata, t.Metadata)
	})
	if err != nil {
		f.logFailure("set the object's metadata", err)
		return e
	}
	return described
}
