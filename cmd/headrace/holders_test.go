package main

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/moby/sys/mountinfo"
)

func TestFindHolders(t *testing.T) {
	link := func(target string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(target), Mode: fs.ModeSymlink | 0o777}
	}
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	proc := fstest.MapFS{
		"10/comm": file("bash\n"), "10/cwd": link("/data/images"), "10/fd/0": link("/dev/null"),
		"11/comm": file("python3\n"), "11/cwd": link("/home"), "11/fd/0": link("/dev/null"), "11/fd/7": link("/data/weights.bin (deleted)"),
		"12/comm": file("loader\n"), "12/cwd": link("/"), "12/fd/0": link("/dev/null"),
		"12/maps": file("7f00-7f01 r--p 00000000 08:01 12 /lib/libc.so\n7f02-7f03 r--s 00000000 00:2a 5 /data/a file\n"),
		"13/comm": file("other\n"), "13/cwd": link("/database"), "13/fd/3": link("/data2/x"),
		"14/comm": file("hidden\n"), "14/maps": file(""),
		"9/comm": file("run\n"), "9/exe": link("/data/bin/run"), "9/fd/0": link("/dev/null"),
		"uptime": file("1 2\n"),
	}
	holders, hidden := findHolders(proc, &mountinfo.Info{Mountpoint: "/data", Major: 0, Minor: 0x2a})
	want := []string{
		"run (pid 9) runs /data/bin/run",
		"bash (pid 10) works in /data/images",
		"python3 (pid 11) has open /data/weights.bin (deleted)",
		"loader (pid 12) maps /data/a file",
	}
	if len(holders) != len(want) {
		t.Fatalf("got %v", holders)
	}
	for i, h := range holders {
		if h.String() != want[i] {
			t.Errorf("got %s, want %s", h, want[i])
		}
	}
	if !hidden {
		t.Error("process 14, whose descriptors are not shown, was not noticed")
	}
}
