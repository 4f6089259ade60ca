package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/headrace/headrace/fs"
	"github.com/headrace/headrace/upload/journal"
)

// places are where things may be that are not stored.
type places struct {
	roots  []string // the first is the one that was said, or the default
	notes  []string // what could not be looked at, and why
	silent []string // the mounts that do not answer
}

// places are the directory that was said or, where none was, the default one and those of the mounts that live: each of
// these is asked.
func (o uploadsOptions) places() (p places, err error) {
	root, err := o.write.place(o.cache)
	if err != nil {
		return p, err
	}
	p.roots = []string{root}
	if o.write.dir != "" || o.cache != "" {
		return p, nil
	}
	mounts, err := mountpoints()
	if err != nil {
		return p, err
	}
	for i, a := range askMounts(mounts, fs.StagingAttribute) {
		switch {
		case errors.Is(a.err, unix.ENODATA): // it is read-only
		case errors.Is(a.err, errSilent):
			p.silent = append(p.silent, mounts[i])
		case a.err != nil:
			p.note(fmt.Sprintf("the mount at %s does not say where it keeps what is not stored", mounts[i]), a.err)
		default:
			p.add(filepath.Dir(a.value))
		}
	}
	return p, nil
}

// add adds a directory, by whatever name it is there already.
func (p *places) add(root string) {
	if !slices.ContainsFunc(p.roots, func(have string) bool { return sameDirectory(have, root) }) {
		p.roots = append(p.roots, root)
	}
}

func sameDirectory(a, b string) bool {
	if a == b {
		return true
	}
	first, err := os.Stat(a)
	second, failure := os.Stat(b)
	return err == nil && failure == nil && os.SameFile(first, second)
}

func (p *places) note(what string, err error) {
	p.notes = append(p.notes, fmt.Sprintf("%s: %v", what, err))
}

// each calls do for each staging directory. What cannot be looked at is an error where somebody said to look there, or
// it is the default, and a note elsewhere.
func (p *places) each(do func(*journal.Dir) error) (failed error) {
	for i, root := range p.roots {
		dirs, err := journal.List(root) // the error is of some: the others are in the list
		for _, d := range dirs {
			if failure := do(d); failure != nil && !errors.Is(failure, os.ErrNotExist) { // else it was given up meanwhile
				err = errors.Join(err, fmt.Errorf("%s: %w", d.Path(), failure))
			}
		}
		if err == nil {
			continue
		}
		if i == 0 {
			failed = fail(exitStaging, err, "cannot look at all that is in %s: %s", root, oneLine(err))
			continue
		}
		p.note("cannot look at all that is in "+root, err)
	}
	return failed
}

// tell says what could not be looked at.
func (p *places) tell(to io.Writer) {
	for _, one := range p.notes {
		fmt.Fprintln(to, strings.ReplaceAll(one, "\n", "; "))
	}
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// find is the staging directory that has an id.
func (p *places) find(id string) (found staged, err error) {
	err = p.each(func(d *journal.Dir) error {
		if found.dir == nil && filepath.Base(id) == id && d.Has(id) {
			found.dir = d
		}
		return nil
	})
	switch {
	case found.dir != nil:
		return found, nil
	case err != nil:
		return found, err
	}
	unseen := p.notes
	if err := p.unanswered(); err != nil {
		unseen = append(slices.Clone(unseen), err.Error())
	}
	silent := ""
	if len(unseen) > 0 {
		silent = " (but " + oneLine(errors.New(strings.Join(unseen, "; "))) + ")"
	}
	return found, fail(exitFailure, os.ErrNotExist, "nothing with the id %s is in %s%s: `headrace uploads ls` shows what is; --staging-dir says where to look",
		id, strings.Join(p.roots, " or "), silent)
}

// status is what is not stored in all of them.
func (p *places) status(ctx context.Context) (all []unstored, err error) {
	err = p.each(func(d *journal.Dir) error {
		found, mounted, err := statusIn(ctx, d)
		for _, s := range found {
			all = append(all, unstored{s, d.Owner().Mountpoint, mounted})
		}
		return err
	})
	if silent := p.unanswered(); err == nil {
		err = silent
	} else if silent != nil {
		err = fail(exitStaging, err, "%s; %s", oneLine(err), oneLine(silent))
	}
	return all, err
}

// unanswered says which mounts do not answer; nil for none.
func (p *places) unanswered() error {
	if len(p.silent) == 0 {
		return nil
	}
	return fail(exitStaging, errSilent, "the mount at %s does not answer: what it has not stored is not known (is its process stopped?)", strings.Join(p.silent, " and the one at "))
}
