package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	// treeFiles is how many small files a tree has that cp copies, in directories of filesPerDir; programFiles, one that
	// another program does.
	treeFiles    = 2000
	programFiles = 500
	filesPerDir  = 100
)

// treeWritings are the files of a tree, each directory before what is in it: its name ends in a slash, and it is an
// object without content.
func treeWritings(w workload, opts Options, side string) (all []writing) {
	root := fmt.Sprintf("%s-%s/", w.name, side)
	all = append(all, writing{name: root})
	files := treeFiles
	if w.program != "" {
		files = programFiles
	}
	for i := range min(files, max(opts.SmallFiles, 1)) {
		dir := fmt.Sprintf("%s%02d/", root, i/filesPerDir)
		if i%filesPerDir == 0 {
			all = append(all, writing{name: dir})
		}
		all = append(all, writing{fmt.Sprintf("%s%05d", dir, i), writtenSmall})
	}
	if w.program == "git" {
		all = append(all, gitWritings(root, all, side)...)
	}
	return all
}

// copyTree has a program copy a tree into dir, a mount or a directory. What is measured is the program alone.
func (w workload) copyTree(ctx context.Context, dir string, all []writing, n *tally) (err error) {
	source, err := os.MkdirTemp("", "headrace-bench-tree-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(source)) }()
	if err := writeTree(source, all); err != nil {
		return err
	}
	top := filepath.Base(all[0].name)
	program := exec.CommandContext(ctx, "cp", "-r", filepath.Join(source, top), dir)
	switch w.program {
	case "rsync":
		program = exec.CommandContext(ctx, "rsync", "-a", filepath.Join(source, top), dir+"/")
	case "git":
		program = gitCommand(ctx, filepath.Join(source, top), dir)
	case "tar":
		archive := filepath.Join(source, "tar")
		if out, err := exec.CommandContext(ctx, "tar", "-c", "-f", archive, "-C", source, top).CombinedOutput(); err != nil {
			return fmt.Errorf("bench: tar -c: %w: %s", err, out)
		}
		program = exec.CommandContext(ctx, "tar", "-x", "-f", archive, "-C", dir)
	}
	start := time.Now()
	out, err := program.CombinedOutput()
	took := time.Since(start)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("bench: %s of a tree: %w: %s", max(w.program, "cp"), err, out)
	}
	for _, one := range all {
		n.note(int(one.size), took/time.Duration(len(all)))
	}
	return nil
}
