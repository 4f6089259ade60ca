package objstore

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
	"time"
)

// Meter counts requests over all the buckets it wraps. It is the innermost decorator, so it counts every attempt that
// goes to the store. Counters only grow.
type Meter struct {
	rows [NumOps][NumClasses]meterRow
	gets [NumGetShapes]atomic.Uint64
}

// meterRow counts the requests of one operation and class.
type meterRow struct {
	inFlight  atomic.Int64
	requests  atomic.Uint64
	errors    [NumErrorKinds]atomic.Uint64
	received  atomic.Uint64
	sent      atomic.Uint64
	firstByte latencyCounter
}

// NewMeter makes a meter with all counters at zero.
func NewMeter() *Meter { return new(Meter) }

// Wrap makes a bucket whose requests m counts.
func (m *Meter) Wrap(b Bucket) Bucket {
	return &metered{through: through{inner: b, do: m.request}, meter: m}
}

// begin counts a request that is about to be made.
func (m *Meter) begin(ctx context.Context, op Op) *meterRow {
	row := &m.rows[op][min(max(classOf(ctx, op), 0), ClassWarm)]
	row.requests.Add(1)
	row.inFlight.Add(1)
	return row
}

// end counts what the request came to.
func (row *meterRow) end(err error) {
	row.inFlight.Add(-1)
	if err != nil {
		row.errors[KindOf(err)].Add(1)
	}
}

// request counts a request that is over when its call returns.
func (m *Meter) request(ctx context.Context, q request, call func(context.Context) error) error {
	row := m.begin(ctx, q.op)
	begun := time.Now()
	err := call(ctx)
	if err == nil {
		row.sent.Add(uint64(q.sent))
		row.firstByte.add(time.Since(begun))
	}
	row.end(err)
	return err
}

// metered is a bucket whose requests are counted.
type metered struct {
	through
	meter *Meter
}

func (b *metered) Open(ctx context.Context, v Version, r Range) (io.ReadCloser, error) {
	row := b.meter.begin(ctx, OpOpen)
	b.meter.gets[shapeOf(v, r)].Add(1)
	begun := time.Now()
	body, err := b.inner.Open(ctx, v, r)
	if err != nil {
		row.end(err)
		return nil, err
	}
	row.firstByte.add(time.Since(begun))
	return &meteredBody{inner: body, row: row}, nil
}

// meteredBody counts the bytes and the end of its request.
type meteredBody struct {
	inner io.ReadCloser
	row   *meterRow
	ended atomic.Bool // Close may come while a Read is under way
}

func (b *meteredBody) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	if n > 0 {
		b.row.received.Add(uint64(n))
	}
	if err == io.EOF {
		b.end(nil)
	} else if err != nil {
		b.end(err)
	}
	return n, err
}

func (b *meteredBody) Close() error {
	err := b.inner.Close()
	b.end(nil)
	return err
}

func (b *meteredBody) end(err error) {
	if !b.ended.Swap(true) {
		b.row.end(err)
	}
}

func (b *metered) List(ctx context.Context, opts ListOptions) iter.Seq2[Page, error] {
	return meteredPages(ctx, b.meter, OpList, b.inner.List(ctx, opts))
}

// ListUploads counts one request for all pages of the answer, which the interface does not show.
func (b *metered) ListUploads(ctx context.Context, prefix string) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		row := b.meter.begin(ctx, OpListUploads)
		var failure error
		defer func() { row.end(failure) }()
		for u, err := range b.inner.ListUploads(ctx, prefix) {
			failure = err
			if !yield(u, err) || err != nil {
				return
			}
		}
	}
}

// meteredPages counts a request for each page, and times it from the moment the page was asked for.
func meteredPages(ctx context.Context, m *Meter, op Op, pages iter.Seq2[Page, error]) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		asked := time.Now()
		for page, err := range pages {
			row := m.begin(ctx, op)
			if err == nil {
				row.firstByte.add(time.Since(asked))
			}
			row.end(err)
			if !yield(page, err) || err != nil {
				return
			}
			asked = time.Now()
		}
	}
}
