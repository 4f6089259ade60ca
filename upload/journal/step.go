package journal

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/objstore"
)

// Step is a line of a log: one of the types below.
type Step interface{ name() string }

// Begin is the first line of an upload's log.
type Begin struct {
	Bucket, Endpoint, Key string
	Replaces              objstore.Version // what the key holds; the zero value: nothing. It decides the condition of the write
	Base                  objstore.Version // what the content is to begin with; the zero value: empty
	Exclusive             bool
	Attributes            objstore.Attributes
	Metadata              map[string]string `json:",omitempty"` // to be laid over the attributes' own; an empty value takes a name off
	Created               time.Time
	Boot                  string `json:",omitempty"` // of the machine, set by [Dir.Begin]: what was not synced before another one may not be on the disk
}

// The steps of an upload.
type (
	// Local: these bytes are in the data file. They differ from what is stored, unless they were fetched from the base.
	Local struct {
		objstore.Range
		Fetched bool `json:",omitempty"`
	}
	// Truncate: the file has another size. What is new reads as zeros, and is local.
	Truncate struct{ Size int64 }
	// Released: these bytes are stored as parts and are about to be let go from the data file. Of a file that is to
	// outlive a loss of power, Synced, all of its data was synced before, and this line is before they are.
	Released struct {
		objstore.Range
		Synced bool `json:",omitempty"`
	}
	// Retained: what was released last is in the data file all the same.
	Retained struct{ objstore.Range }
	// Retarget: the file has another name. A conflict was about the old one. Base is set where what the content is to
	// begin with has another version, too. Over is the upload that had the name and is given up by this: its own log may
	// not say so yet.
	Retarget struct {
		Key        string
		Replaces   objstore.Version
		Exclusive  bool
		Attributes objstore.Attributes
		Base       *objstore.Version `json:",omitempty"`
		Over       string            `json:",omitempty"`
	}
	// Intent: a multipart upload is about to be created. At is the time before the request.
	Intent struct {
		Key string
		At  time.Time
	}
	// UploadID: what was intended last is there, under this id.
	UploadID struct{ ID string }
	// Part: the store has this part of the last multipart upload. It begins at Off of the file.
	Part struct {
		objstore.Part
		Off int64
	}
	// Aborted: a multipart upload is gone from the store. Without an id, what was intended last has come to nothing.
	Aborted struct {
		UploadID string `json:",omitempty"`
	}
	// Closed: the content is to be stored as it is now.
	Closed struct {
		Size           int64
		Local, Changed []objstore.Range
		Metadata       map[string]string `json:",omitempty"` // as in Begin
	}
	// Synced: the data of what was closed last is on the disk. Whoever asked is told that it is kept once this is there as
	// well, so that it is stored after a crash even when it was written to again; after a loss of power, as it was here.
	Synced struct{}
	// Described: the object is to have this metadata laid over its own, and not what was said before.
	Described struct{ Metadata map[string]string }
	// Publishing: the request that makes the object appear is about to be sent. Without what follows, it is not known
	// whether it was done.
	Publishing struct{}
	// Unanswered: an attempt to store the file came to nothing that anybody knows of. What it was of is known by its size
	// and by a SHA-256 of these bytes.
	Unanswered struct {
		Size  int64
		Bytes []objstore.Range
		Sum   []byte
	}
	// Stored: what was closed last is in the store, by the multipart upload with this id or, without one, by a single
	// request.
	Stored struct {
		ETag     string
		Size     int64
		UploadID string `json:",omitempty"`
	}
	// Conflict: the key holds what somebody else has put there. The data stays.
	Conflict struct{ Reason string }
	// Failed: storing did not work, and will be tried again.
	Failed struct{ Reason string }
	// Discarded: the file was removed. Nothing of it is stored any more.
	Discarded struct{}
)

// The steps of a rename of many objects; see [Moves].
type (
	beginMoves struct{ MovesHead }
	planned    struct{ Move }
	listed     struct{}
	moved      struct{ Index int64 }
	unmoved    struct {
		Index  int64
		Reason string
	}
	// The multipart upload of one move: about to be created, there, and gone.
	copyIntent struct {
		Index int64
		At    time.Time
	}
	copyBegun struct {
		Index int64
		ID    string
	}
	copyEnded struct{ Index int64 }
	stopped   struct{}
)

func (Begin) name() string      { return "begin" }
func (Local) name() string      { return "local" }
func (Truncate) name() string   { return "truncate" }
func (Released) name() string   { return "released" }
func (Retained) name() string   { return "retained" }
func (Retarget) name() string   { return "retarget" }
func (Intent) name() string     { return "intent" }
func (UploadID) name() string   { return "upload-id" }
func (Part) name() string       { return "part" }
func (Aborted) name() string    { return "aborted" }
func (Closed) name() string     { return "closed" }
func (Synced) name() string     { return "synced" }
func (Described) name() string  { return "described" }
func (Publishing) name() string { return "publishing" }
func (Unanswered) name() string { return "unanswered" }
func (Stored) name() string     { return "stored" }
func (Conflict) name() string   { return "conflict" }
func (Failed) name() string     { return "failed" }
func (Discarded) name() string  { return "discarded" }
func (beginMoves) name() string { return "begin-moves" }
func (planned) name() string    { return "planned" }
func (listed) name() string     { return "listed" }
func (moved) name() string      { return "moved" }
func (unmoved) name() string    { return "unmoved" }
func (copyIntent) name() string { return "copy-intent" }
func (copyBegun) name() string  { return "copy-begun" }
func (copyEnded) name() string  { return "copy-ended" }
func (stopped) name() string    { return "stopped" }

// decode reads a step of a name.
func decode(name string, text []byte) (Step, error) {
	read := map[string]func([]byte) (Step, error){
		"begin": as[Begin], "local": as[Local], "truncate": as[Truncate], "released": as[Released], "retained": as[Retained], "retarget": as[Retarget],
		"intent": as[Intent], "upload-id": as[UploadID], "part": as[Part], "aborted": as[Aborted], "closed": as[Closed],
		"publishing": as[Publishing], "stored": as[Stored], "conflict": as[Conflict], "failed": as[Failed], "discarded": as[Discarded],
		"described": as[Described], "synced": as[Synced], "unanswered": as[Unanswered],
		"begin-moves": as[beginMoves], "planned": as[planned], "listed": as[listed], "moved": as[moved], "unmoved": as[unmoved],
		"copy-intent": as[copyIntent], "copy-begun": as[copyBegun], "copy-ended": as[copyEnded], "stopped": as[stopped],
	}[name]
	if read == nil {
		return nil, fmt.Errorf("unknown step %q: was it written by a later version?", name)
	}
	return read(text)
}

func as[S Step](text []byte) (Step, error) {
	var s S
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	if k, ok := Step(s).(keyed); ok {
		return k.mapped(unescape)
	}
	return s, nil
}

// encode writes a step as JSON.
func encode(s Step) ([]byte, error) {
	if k, ok := s.(keyed); ok {
		escaped, err := k.mapped(escape)
		if err != nil {
			return nil, err
		}
		s = escaped
	}
	return json.Marshal(s)
}

// keyed is a step with strings that need not be UTF-8, which JSON cannot have.
type keyed interface {
	mapped(f func(string) (string, error)) (Step, error)
}

// escaped begins a string that stands in base64.
const escaped = "base64:"

func escape(s string) (string, error) {
	if utf8.ValidString(s) && !strings.HasPrefix(s, escaped) {
		return s, nil
	}
	return escaped + base64.StdEncoding.EncodeToString([]byte(s)), nil
}

func unescape(s string) (string, error) {
	text, ok := strings.CutPrefix(s, escaped)
	if !ok {
		return s, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	return string(raw), err
}

// mapStrings applies f to all of them.
func mapStrings(f func(string) (string, error), all ...*string) error {
	var failures []error
	for _, s := range all {
		changed, err := f(*s)
		*s = changed
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// mapMetadata gives a copy, mapped.
func mapMetadata(m map[string]string, f func(string) (string, error)) (map[string]string, error) {
	if m == nil {
		return nil, nil
	}
	result := make(map[string]string, len(m))
	for key, value := range maps.All(m) {
		if err := mapStrings(f, &key, &value); err != nil {
			return nil, err
		}
		result[key] = value
	}
	return result, nil
}

// mapAttributes maps what other clients have given, in whatever bytes.
func mapAttributes(a *objstore.Attributes, f func(string) (string, error)) (err error) {
	if a.Metadata, err = mapMetadata(a.Metadata, f); err == nil {
		a.Headers, err = mapMetadata(a.Headers, f)
	}
	return err
}

func (b Begin) mapped(f func(string) (string, error)) (_ Step, err error) {
	if err = mapAttributes(&b.Attributes, f); err != nil {
		return nil, err
	}
	err = mapStrings(f, &b.Key, &b.Replaces.Key, &b.Base.Key)
	return b, err
}

func (r Retarget) mapped(f func(string) (string, error)) (_ Step, err error) {
	if err = mapAttributes(&r.Attributes, f); err != nil {
		return nil, err
	}
	if r.Base != nil {
		base := *r.Base
		r.Base = &base
		err = mapStrings(f, &base.Key)
	}
	return r, errors.Join(err, mapStrings(f, &r.Key, &r.Replaces.Key))
}

func (i Intent) mapped(f func(string) (string, error)) (Step, error) {
	err := mapStrings(f, &i.Key)
	return i, err
}

func (b beginMoves) mapped(f func(string) (string, error)) (Step, error) {
	err := mapStrings(f, &b.From, &b.To)
	return b, err
}

func (p planned) mapped(f func(string) (string, error)) (Step, error) {
	err := mapStrings(f, &p.From, &p.To)
	return p, err
}

func escapedOwner(o Owner) Owner {
	_ = mapStrings(escape, &o.Prefix, &o.Cache) // never fails
	return o
}

func unescapedOwner(o Owner) (_ Owner, err error) {
	err = mapStrings(unescape, &o.Prefix, &o.Cache)
	return o, err
}
