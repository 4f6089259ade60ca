package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/objstore"
)

// objectMover moves objects, each whole: at any moment it is under one of its keys, or (between copy and removal) under
// both.
type objectMover struct {
	log     objstore.UploadLog // of copies in parts; may be nil
	remover objstore.VersionRemover
}

func newObjectMover(log objstore.UploadLog, stderr io.Writer) *objectMover {
	return &objectMover{log: log, remover: objstore.VersionRemover{Refused: func(err error) {
		fmt.Fprintf(stderr, "the store removes nothing under a condition (%v): what somebody else writes to a plain key in the moment between the last look and its removal is lost\n", err)
	}}}
}

// move moves an object to a key where nothing is, or a copy of it that an earlier run has made. What it removes in the
// end it has seen under both keys, the same as it was found.
func (m *objectMover) move(ctx context.Context, o object, to string) error {
	if renamer, ok := objstore.AsRenamer(o.bucket); ok {
		err := renamer.Rename(ctx, to, o.version(), objstore.Condition{IfNew: true})
		if !errors.Is(err, objstore.ErrUnsupported) && !errors.Is(err, objstore.ErrExists) {
			return err
		}
	}
	_, err := o.bucket.Stat(ctx, to) // not all stores know conditions of copies, and some ignore them
	switch {
	case err == nil:
		err = isCopy(ctx, o, to)
	case errors.Is(err, objstore.ErrNotExist):
		err = copyObject(ctx, o, to, m.log)
	}
	if err != nil {
		return err
	}
	there, err := objstore.Holds(ctx, o.bucket, o.version())
	if err == nil && there {
		err = m.remover.Remove(ctx, o.bucket, o.version())
	}
	if errors.Is(err, objstore.ErrChanged) {
		return fmt.Errorf("it was copied, and replaced meanwhile: remove %s and run again: %w", to, err)
	}
	return err
}

// copyObject copies an object to a key where nothing is, and makes sure that the copy is there.
func copyObject(ctx context.Context, o object, to string, log objstore.UploadLog) error {
	plan := objstore.CopyPlan{Condition: objstore.Condition{IfNew: true}, Log: log}
	made, err := objstore.CopyObject(ctx, o.bucket, to, o.version(), plan)
	if errors.Is(err, objstore.ErrUnsupported) {
		plan.Condition = objstore.Condition{}
		made, err = objstore.CopyObject(ctx, o.bucket, to, o.version(), plan)
	}
	if err != nil {
		return err
	}
	there, err := o.bucket.Stat(ctx, to)
	if err == nil && (there.ETag != made.ETag || there.Size != o.Size) {
		err = fmt.Errorf("%s is not the copy that was made: %w", to, objstore.ErrChanged)
	}
	return err
}

// isCopy makes sure that what is under a key is the same content.
func isCopy(ctx context.Context, o object, to string) error {
	e, err := o.bucket.Stat(ctx, to)
	if err != nil {
		return err
	}
	same, err := objstore.SameContent(ctx, o.bucket, o.version(), objstore.VersionOf(o.bucket, e))
	if err == nil && !same {
		err = fmt.Errorf("%s is there already, with another content: %w", to, objstore.ErrExists)
	}
	return err
}
