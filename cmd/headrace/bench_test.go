package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/headrace/headrace/bench"
	"github.com/headrace/headrace/objstore"
)

// What was measured is printed however the run ended, and the error comes after it.
func TestBenchPrintsWhatThereIs(t *testing.T) {
	report := &bench.Report{Endpoint: "http://store", Rows: []bench.Row{{Workload: "sequential-1", Unit: "MiB/s", Reference: 1234, Mount: 999}}}
	denied := &objstore.Error{Op: "PutObject", Bucket: "b", Key: "k", Status: 403, Code: "AccessDenied", Err: objstore.ErrPermission}
	left := &bench.LeftoverError{Endpoint: "http://store", Bucket: "b", Prefix: "headrace-bench-X/", Objects: 7, Err: denied}
	for name, c := range map[string]struct {
		report  *bench.Report
		err     error
		printed bool
		code    int
		says    []string // in the error
	}{
		"all of it":              {report, nil, true, exitOK, nil},
		"nothing":                {nil, denied, false, exitDenied, []string{"AccessDenied"}},
		"no row":                 {&bench.Report{}, errors.New("idle: no FUSE"), false, exitFailure, []string{"idle: no FUSE"}},
		"a failing workload":     {report, errors.New("mmap: wrong bytes"), true, exitFailure, []string{"mmap: wrong bytes"}},
		"interrupted":            {report, fmt.Errorf("mmap: %w", context.Canceled), true, exitFailure, []string{"interrupted", "mmap"}},
		"interrupted at once":    {nil, context.Canceled, false, exitFailure, []string{"interrupted"}},
		"objects left":           {report, left, true, exitFailure, []string{"7 objects", "s3://b/headrace-bench-X/"}},
		"denied, and left some":  {nil, errors.Join(denied, left), false, exitDenied, []string{"AccessDenied", "s3://b/headrace-bench-X/"}},
		"interrupted, left some": {report, errors.Join(context.Canceled, left), true, exitFailure, []string{"interrupted", "s3://b/headrace-bench-X/"}},
		"options":                {nil, fmt.Errorf("%w: x", bench.ErrOptions), false, exitUsage, []string{"x"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, asJSON := range []bool{false, true} {
				var out bytes.Buffer
				o := benchOptions{measuring: measuring{json: asJSON}}
				err := o.present(&out, c.report, c.err, "b")
				if printed := strings.Contains(out.String(), "sequential-1"); printed != c.printed || !printed && out.Len() != 0 {
					t.Errorf("json %v: printed %q", asJSON, out.String())
				}
				if asJSON && c.printed && !json.Valid(out.Bytes()) {
					t.Errorf("no JSON: %s", out.String())
				}
				if code := exitCode(err); code != c.code {
					t.Errorf("json %v: exit code %d: %v", asJSON, code, err)
				}
				for _, want := range c.says {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("json %v: no %q in %q", asJSON, want, err)
					}
				}
			}
		})
	}
}
