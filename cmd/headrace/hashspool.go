package main

import (
	"encoding/binary"
	"os"
)

const (
	spoolParts = 256
	// spoolPage is how many hashes of a part are written at once: 32 KiB.
	spoolPage = 4096
)

// hashSpool keeps hashes in parts, most of them in a file without a name. Where that cannot be written, they stay in
// memory; what cannot be read later is lost. The zero value is empty.
type hashSpool struct {
	file    *os.File // nil before the first full page, and where none can be made
	pages   int64    // in the file
	failed  bool     // nothing more is written
	written [spoolParts][]int64
	open    [spoolParts][]uint64
}

// add adds a hash to a part.
func (s *hashSpool) add(part int, hash uint64) {
	s.open[part] = append(s.open[part], hash)
	if len(s.open[part]) >= spoolPage && !s.failed {
		s.write(part)
	}
}

// write writes a page of a part.
func (s *hashSpool) write(part int) {
	if s.file == nil && !s.create() {
		s.failed = true
		return
	}
	page := make([]byte, 0, 8*spoolPage)
	for _, h := range s.open[part] {
		page = binary.LittleEndian.AppendUint64(page, h)
	}
	if _, err := s.file.WriteAt(page, s.pages*8*spoolPage); err != nil {
		s.failed = true
		return
	}
	s.written[part] = append(s.written[part], s.pages)
	s.pages++
	s.open[part] = s.open[part][:0]
}

func (s *hashSpool) create() bool {
	file, err := os.CreateTemp("", "headrace-keys-")
	if err != nil {
		return false
	}
	if os.Remove(file.Name()) != nil {
		_ = file.Close()
		return false
	}
	s.file = file
	return true
}

// part is all of a part. What cannot be read is as if it had not been added.
func (s *hashSpool) part(part int) map[uint64]struct{} {
	all := make(map[uint64]struct{}, len(s.open[part])+spoolPage*len(s.written[part]))
	page := make([]byte, 8*spoolPage)
	for _, n := range s.written[part] {
		if _, err := s.file.ReadAt(page, n*8*spoolPage); err != nil {
			continue
		}
		for i := range spoolPage {
			all[binary.LittleEndian.Uint64(page[8*i:])] = struct{}{}
		}
	}
	for _, h := range s.open[part] {
		all[h] = struct{}{}
	}
	return all
}

func (s *hashSpool) close() {
	if s.file != nil {
		_ = s.file.Close() // it has no name, and is gone
	}
}
