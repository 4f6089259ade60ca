package integration

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// TestSemanticsPage compares docs/semantics.md with the tests: every list item of the page is a paragraph of the doc
// comment of a test here, so a promise cannot be written down without a test, nor a test's promise be changed behind
// the page's back.
func TestSemanticsPage(t *testing.T) {
	page := must[[]byte](t)(os.ReadFile("../docs/semantics.md"))
	promises := listItems(string(page))
	if len(promises) < 40 {
		t.Fatalf("only %d list items were found in the page: is it still parsed right?", len(promises))
	}
	proved := testParagraphs(t)
	for _, promise := range promises {
		if _, ok := proved[promise]; !ok {
			t.Errorf("no test has this promise as a paragraph of its doc comment:\n\t%s", promise)
		}
	}
}

func TestListItems(t *testing.T) {
	got := listItems("# Title\n\ntext\n\n- One\n  goes on.\n- Two.\n\nText - with a dash.\n")
	if strings.Join(got, "|") != "One goes on.|Two." {
		t.Errorf("got %q", got)
	}
}

// listItems are the list items of a page in Markdown, each as one line.
func listItems(page string) []string {
	var items []string
	inItem := false
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch first, isItem := strings.CutPrefix(line, "- "); {
		case isItem:
			items = append(items, first)
			inItem = true
		case inItem && strings.HasPrefix(line, "  "):
			items[len(items)-1] += " " + strings.TrimSpace(line)
		default:
			inItem = false
		}
	}
	return items
}

// testParagraphs maps each paragraph of the doc comments of this package's tests, as one line, to its test.
func testParagraphs(t *testing.T) map[string]string {
	t.Helper()
	paragraphs := make(map[string]string)
	entries := must[[]os.DirEntry](t)(os.ReadDir("."))
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file := must[*ast.File](t)(parser.ParseFile(token.NewFileSet(), entry.Name(), nil, parser.ParseComments))
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") {
				continue
			}
			for paragraph := range strings.SplitSeq(f.Doc.Text(), "\n\n") {
				paragraphs[strings.Join(strings.Fields(paragraph), " ")] = f.Name.Name
			}
		}
	}
	return paragraphs
}
