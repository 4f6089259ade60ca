package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/headrace/headrace/objstore"
)

const (
	// gitDir is where a repository keeps what it knows.
	gitDir = ".git/"
	// gitObjects is where it keeps contents, in directories by the first byte of their hash.
	gitObjects = gitDir + "objects/"
	// gitFans is how many of these directories there are, at most.
	gitFans = 256
	// gitSmall are about as many files of its own as `git init` and a commit write, of about gitSmallSize.
	gitSmall     = 25
	gitSmallSize = kib
	// gitBranch is written last of what a commit consists of; it holds a hash and a newline.
	gitBranch     = gitDir + "refs/heads/trunk"
	gitBranchSize = 41
)

// gitScript commits a tree. Nothing of the user's own settings counts.
const gitScript = `export HOME=/nonexistent GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=bench GIT_AUTHOR_EMAIL=bench GIT_COMMITTER_NAME=bench GIT_COMMITTER_EMAIL=bench
set -e; cp -r "$1" "$2"; cd "$3"; git init -q -b trunk; git add .; git commit -q -m all`

// gitCommand copies a tree into dir and makes a repository of it there.
func gitCommand(ctx context.Context, source, dir string) *exec.Cmd {
	return exec.CommandContext(ctx, "sh", "-c", gitScript, "sh", source, dir, filepath.Join(dir, filepath.Base(source)))
}

// gitWritings are what a repository adds to the files of a tree: for a raw client all that git stores, or as much; else
// what has a name that is known.
func gitWritings(root string, tree []writing, side string) (all []writing) {
	if side != "raw" {
		return []writing{{root + gitBranch, gitBranchSize}}
	}
	for i := range gitSmall {
		all = append(all, writing{fmt.Sprintf("%s%ssmall-%d", root, gitDir, i), gitSmallSize})
	}
	for i := range min(gitFans, len(tree)) {
		all = append(all, writing{name: fmt.Sprintf("%s%s%02x/", root, gitObjects, i)})
	}
	for i, one := range tree { // the contents of files, and the lists of directories; the commit is one more
		all = append(all, writing{fmt.Sprintf("%s%s%02x/%038x", root, gitObjects, i%gitFans, i), max(one.size, 1)})
	}
	return append(all, writing{root + gitBranch, gitBranchSize})
}

// ofGit tells whether a name is of a repository's own.
func ofGit(name string) bool { return strings.Contains(name, "/"+gitDir) }

// counts tells whether a file is one of those that both sides write: what git makes of its own is not told.
func counts(name string) bool { return !ofGit(name) || strings.HasSuffix(name, gitBranch) }

// writeGitRaw does by a raw client what git does with a file: its own objects get a temporary name first, and what is
// committed is read.
func writeGitRaw(ctx context.Context, b objstore.Bucket, key string, size int64) error {
	isDir := strings.HasSuffix(key, "/")
	if strings.Contains(key, "/"+gitObjects) && !isDir {
		return writeRenamed(ctx, b, key, size)
	}
	e, err := writeWhole(ctx, b, key, size, objstore.Condition{IfNew: true})
	if err != nil || isDir || ofGit(key) {
		return err
	}
	body, err := b.Open(ctx, versionOf(b, e), objstore.Range{Len: size})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(io.Discard, body)
	return err
}

// writeRenamed stores an object under another name, and renames it, where the store cannot.
func writeRenamed(ctx context.Context, b objstore.Bucket, key string, size int64) error {
	e, err := writeWhole(ctx, b, key+temporarySuffix, size, objstore.Condition{IfNew: true})
	if err == nil {
		_, err = b.Copy(ctx, key, versionOf(b, e), objstore.Condition{})
	}
	if err == nil {
		err = b.Delete(ctx, key+temporarySuffix)
	}
	return err
}

// noteBelow has all be removed at the end that is below a prefix: a program has chosen the names.
func (t *target) noteBelow(ctx context.Context, prefix string) error {
	for page, err := range t.direct.List(ctx, objstore.ListOptions{Prefix: prefix}) {
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			t.maker.made = append(t.maker.made, e.Key)
		}
	}
	return nil
}

// writeTree makes the files and directories of a tree below a local directory. No two files are equal: git would keep
// one.
func writeTree(dir string, all []writing) error {
	for i, one := range all {
		path := filepath.Join(dir, one.name)
		var err error
		switch {
		case ofGit(one.name): // git makes it
		case strings.HasSuffix(one.name, "/"):
			err = os.Mkdir(path, 0o755)
		default:
			err = os.WriteFile(path, noise()[int64(i)*kib:][:one.size], 0o644)
		}
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	return nil
}
