package cache

import (
	"context"
	"slices"
)

// prediction is all that was asked for under one context: when the context ends, nobody expects these bytes any more.
type prediction struct {
	chunks map[*chunk]struct{}
	stop   func() bool // keeps the end of the context from being acted upon; false when it is too late for that
}

// claim says that a prediction asked for blocks of a chunk.
//
// INVARIANT: a chunk has at most one claim of a prediction, and is in its chunks exactly when it has one.
// INVARIANT: what is unread of a chunk is claimed, and here or under way.
type claim struct {
	prediction *prediction
	asked      blockMask
}

// prediction finds or makes the prediction that lives as long as ctx. Contexts that end together are one.
func (c *Cache) prediction(ctx context.Context) *prediction {
	done := ctx.Done()
	if p := c.predictions[done]; p != nil {
		return p
	}
	p := &prediction{chunks: make(map[*chunk]struct{}), stop: func() bool { return false }}
	c.predictions[done] = p
	if done != nil {
		c.goroutines.Add(1)
		p.stop = context.AfterFunc(ctx, func() {
			defer c.goroutines.Done()
			c.expire(done, p)
		})
	}
	return p
}

// expire ends a prediction: its fills end unless somebody else wants them, and what it brought is kept no longer than
// other bytes.
func (c *Cache) expire(done <-chan struct{}, p *prediction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.predictions, done)
	for k := range p.chunks {
		k.claims = slices.DeleteFunc(k.claims, func(cl claim) bool { return cl.prediction == p })
		c.cancelUnwanted(k)
		c.settle(k)
	}
	clear(p.chunks)
	c.serveNext()
}

// claim notes that p expects blocks of k to be read. What p asked for before it expects no second time: a stream asks
// again for the chunk it is in with each read, and what it has passed must be free to go.
func (p *prediction) claim(k *chunk, blocks blockMask) {
	if blocks == 0 {
		return
	}
	if _, has := p.chunks[k]; !has {
		p.chunks[k] = struct{}{}
		k.claims = append(k.claims, claim{prediction: p})
	}
	for i := range k.claims {
		if cl := &k.claims[i]; cl.prediction == p {
			k.unread.Or(uint32(blocks &^ cl.asked))
			cl.asked |= blocks
		}
	}
}
