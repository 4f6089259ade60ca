package headrace_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// commentColumns is how long a line may be that is all comment: what a page of a code review or half a screen shows.
const commentColumns = 120

// TestCommentsFit holds comments to their width. What is indented in them, as code and tables, is as it is.
func TestCommentsFit(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			comment := strings.TrimLeft(line, "\t")
			prose := strings.HasPrefix(comment, "// ") && !strings.HasPrefix(comment, "//  ")
			if prose && utf8.RuneCountInString(line) > commentColumns {
				t.Errorf("%s:%d: a comment of more than %d columns", path, i+1, commentColumns)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
