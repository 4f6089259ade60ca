package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// treeFiles is how many small files a tree has, in directories of filesPerDir.
	treeFiles   = 2000
	filesPerDir = 100
)

// treeWritings are the files of a tree, each directory before what is in it: its name ends in a slash, and it is an object without content.
func treeWritings(w workload, opts Options, side string) (all []writing) {
	root := fmt.Sprintf("%s-%s/", w.name, side)
	all = append(all, writing{name: root})
	for i := range min(treeFiles, max(opts.SmallFiles, 1)) {
		dir := fmt.Sprintf("%s%02d/", root, i/filesPerDir)
		if i%filesPerDir == 0 {
			all = append(all, writing{name: dir})
		}
		all = append(all, writing{fmt.Sprintf("%s%05d", dir, i), writtenSmall})
	}
	return all
}

// copyTree has cp copy a tree into dir, a mount. What is measured is cp alone.
func copyTree(ctx context.Context, dir string, all []writing, n *tally) (err error) {
	source, err := os.MkdirTemp("", "headrace-bench-tree-")
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(source)) }()
	for _, one := range all {
		path := filepath.Join(source, one.name)
		if strings.HasSuffix(one.name, "/") {
			err = os.Mkdir(path, 0o755)
		} else {
			err = os.WriteFile(path, noise()[:one.size], 0o644)
		}
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	start := time.Now()
	out, err := exec.CommandContext(ctx, "cp", "-r", filepath.Join(source, all[0].name), dir).CombinedOutput()
	took := time.Since(start)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("bench: cp -r: %w: %s", err, out)
	}
	for _, one := range all {
		n.note(int(one.size), took/time.Duration(len(all)))
	}
	return nil
}
