package hashed

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// fileMagic begins the file of an index, and says in which form it is.
const fileMagic = "headrace key index 1\n"

// fileHead says what a file is an index of.
type fileHead struct {
	Endpoint, Bucket, Prefix string
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (x *index) head() fileHead {
	return fileHead{Endpoint: x.bucket.Endpoint(), Bucket: x.bucket.Name(), Prefix: x.options.Prefix}
}

// save writes the index to its file, as a whole or not at all.
func (x *index) save() (err error) {
	x.mu.Lock()
	complete, all := x.complete, x.shards
	x.mu.Unlock()
	if x.options.File == "" || !complete {
		return nil
	}
	removeLeft(x.options.File)
	temporary, err := os.CreateTemp(filepath.Dir(x.options.File), filepath.Base(x.options.File)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(io.MultiWriter(temporary, sum), 1<<20)
	if err := errors.Join(x.write(out, &all), out.Flush()); err != nil {
		return errors.Join(err, temporary.Close())
	}
	err = binary.Write(temporary, binary.LittleEndian, sum.Sum32())
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), x.options.File)
}

// leftAfter is for how long a file that is being written may stand still: one that has is of a process that was killed.
const leftAfter = 10 * time.Minute

// removeLeft removes what those have left who were killed while they saved an index.
func removeLeft(file string) {
	dir, base := filepath.Split(file)
	entries, _ := os.ReadDir(dir) // what cannot be read has to be made, and says so
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), base+".") && time.Since(info.ModTime()) > leftAfter {
			_ = os.Remove(dir + e.Name()) // the next one tries again
		}
	}
}

func (x *index) write(out *bufio.Writer, all *[shards]shard) error {
	head, err := json.Marshal(x.head())
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(out, "%s%s\n", fileMagic, head); err != nil {
		return err
	}
	for i := range all {
		s := all[i].changes.merged(all[i].segment)
		fixed := []uint64{uint64(all[i].listed.UnixNano()), uint64(s.count), uint64(len(s.blocks)), uint64(len(s.data))}
		err := errors.Join(binary.Write(out, binary.LittleEndian, fixed), binary.Write(out, binary.LittleEndian, s.blocks))
		if _, failed := out.Write(s.data); err != nil || failed != nil {
			return errors.Join(err, failed)
		}
	}
	return nil
}

// load takes over the index of a file, if there is one.
func (x *index) load() error {
	if x.options.File == "" {
		return nil
	}
	file, err := os.Open(x.options.File)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	sum := crc32.New(castagnoli)
	in := bufio.NewReaderSize(file, 1<<20)
	info, err := file.Stat()
	if err != nil {
		return err
	}
	all, err := x.read(&summed{in: in, sum: sum}, uint64(info.Size()))
	if err != nil {
		return err
	}
	var want uint32
	if err := binary.Read(in, binary.LittleEndian, &want); err != nil || want != sum.Sum32() {
		return errors.Join(err, errDamaged)
	}
	for i := range all {
		if all[i].listed.After(x.options.Now()) {
			return errors.New("it is of a time that has not come yet")
		}
		x.keys += all[i].keys()
	}
	x.shards, x.complete = *all, true
	return nil
}

var errDamaged = errors.New("the file is damaged")

// summed reads, and sums what was read.
type summed struct {
	in  *bufio.Reader
	sum hash.Hash32
}

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	_, _ = s.sum.Write(p[:n]) // never fails
	return n, err
}

func (s *summed) line() (string, error) {
	text, err := s.in.ReadString('\n')
	_, _ = s.sum.Write([]byte(text))
	return text, err
}

// read reads what a file of so many bytes can hold; what it says is not trusted before its sum was compared.
func (x *index) read(in *summed, size uint64) (*[shards]shard, error) {
	magic, err := in.line()
	if err != nil || magic != fileMagic {
		return nil, errors.Join(err, errDamaged)
	}
	text, err := in.line()
	if err != nil {
		return nil, err
	}
	var head fileHead
	if err := json.Unmarshal([]byte(text), &head); err != nil || head != x.head() {
		return nil, errors.Join(err, errors.New("it is the index of something else"))
	}
	all, total := new([shards]shard), 0
	for i := range all {
		var fixed [4]uint64
		if err := binary.Read(in, binary.LittleEndian, &fixed); err != nil {
			return nil, err
		}
		count, blocks, data := fixed[1], fixed[2], fixed[3]
		if count > size || blocks > count || data > size {
			return nil, errDamaged
		}
		if total += int(count); total > x.options.MaxKeys {
			return nil, errTooMany(x.bucket.Name(), x.options.MaxKeys)
		}
		size -= data
		s := &segment{count: int(count), blocks: make([]uint32, blocks), data: make([]byte, data)}
		if err := binary.Read(in, binary.LittleEndian, s.blocks); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(in, s.data); err != nil {
			return nil, err
		}
		all[i] = shard{segment: s, listed: time.Unix(0, int64(fixed[0]))}
	}
	return all, nil
}
