package main

import (
	"github.com/headrace/headrace/objstore"
	"github.com/prometheus/client_golang/prometheus"
)

// family is a metric with labels: one number for each combination that occurs.
type family struct {
	name   string // without the "headrace_" in front
	help   string
	kind   prometheus.ValueType
	labels []string
	each   func(s *snapshot, emit func(value float64, labels ...string))
}

// storeFamilies say what the store was asked, attempt by attempt, and what it answered.
func storeFamilies() []family {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	byOp := []string{"operation", "class"}
	perOp := func(value func(*objstore.OpStats) uint64) func(*snapshot, func(float64, ...string)) {
		return func(s *snapshot, emit func(float64, ...string)) {
			for i := range s.meter.Ops {
				o := &s.meter.Ops[i]
				emit(float64(value(o)), o.Op.String(), o.Class.String())
			}
		}
	}
	return []family{
		{"store_requests_total", "Attempts sent to the store.", counter, byOp, perOp(func(o *objstore.OpStats) uint64 { return o.Requests })},
		{"store_requests_in_flight", "Attempts whose answer is not read to its end.", gauge, byOp, perOp(func(o *objstore.OpStats) uint64 { return uint64(o.InFlight) })},
		{"store_received_bytes_total", "Bytes of bodies received.", counter, byOp, perOp(func(o *objstore.OpStats) uint64 { return o.Received })},
		{"store_sent_bytes_total", "Bytes of bodies the store took.", counter, byOp, perOp(func(o *objstore.OpStats) uint64 { return o.Sent })},
		{"store_errors_total", "Attempts that failed, by the kind of error.", counter, []string{"operation", "class", "error"}, eachError},
		{"store_gets_total", "GETs by the shape of their range: whole object, aligned chunk, part of a chunk, or more.", counter, []string{"shape"}, eachShape},
		{"store_retries_total", "Attempts that failed and were made again.", counter, []string{"operation"}, eachRetry},
		{"replica_reads_total", "Reads from copies of objects, with --replicas.", counter, nil, func(s *snapshot, emit func(float64, ...string)) { emit(float64(s.fromCopy)) }},
		{"replica_fallbacks_total", "Reads that went to the original because a copy failed.", counter, nil, func(s *snapshot, emit func(float64, ...string)) { emit(float64(s.fellBack)) }},
		{"key_index_keys", "Keys in the index of hashed keys.", gauge, nil, func(s *snapshot, emit func(float64, ...string)) { emit(float64(s.keys)) }},
		{"key_index_bytes", "Bytes of memory that the index takes.", gauge, nil, func(s *snapshot, emit func(float64, ...string)) { emit(float64(s.keyBytes)) }},
		{"store_endpoint", "1, for the endpoint that requests go to.", gauge, []string{"endpoint"}, func(s *snapshot, emit func(float64, ...string)) { emit(1, s.endpoint) }},
		{"store_endpoint_switches_total", "How often requests went to another endpoint from then on.", counter, nil, func(s *snapshot, emit func(float64, ...string)) { emit(float64(s.switches)) }},
	}
}

func eachError(s *snapshot, emit func(float64, ...string)) {
	for _, o := range s.meter.Ops {
		for kind, count := range o.Errors {
			if count > 0 {
				emit(float64(count), o.Op.String(), o.Class.String(), objstore.ErrorKind(kind).String())
			}
		}
	}
}

func eachShape(s *snapshot, emit func(float64, ...string)) {
	for shape, count := range s.meter.Gets {
		emit(float64(count), objstore.GetShape(shape).String())
	}
}

func eachRetry(s *snapshot, emit func(float64, ...string)) {
	for op, count := range s.retries {
		if count > 0 {
			emit(float64(count), objstore.Op(op).String())
		}
	}
}

// gateFamilies say who waits for a turn to ask the store.
func gateFamilies() []family {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	byClass := []string{"class"}
	perClass := func(value func(*objstore.ClassStats) float64) func(*snapshot, func(float64, ...string)) {
		return func(s *snapshot, emit func(float64, ...string)) {
			for class := range s.gate.Classes {
				emit(value(&s.gate.Classes[class]), objstore.Class(class).String())
			}
		}
	}
	return []family{
		{"gate_in_use", "Requests under way.", gauge, byClass, perClass(func(c *objstore.ClassStats) float64 { return float64(c.InUse) })},
		{"gate_waiting", "Requests that wait for their turn.", gauge, byClass, perClass(func(c *objstore.ClassStats) float64 { return float64(c.Waiting) })},
		{"gate_started_total", "Requests that had their turn.", counter, byClass, perClass(func(c *objstore.ClassStats) float64 { return float64(c.Started) })},
		{"gate_queued_total", "Requests that had to wait for it.", counter, byClass, perClass(func(c *objstore.ClassStats) float64 { return float64(c.Queued) })},
		{"gate_wait_seconds_total", "How long they waited, in sum.", counter, byClass, perClass(func(c *objstore.ClassStats) float64 { return c.Waited.Seconds() })},
	}
}

// firstByte is the one histogram: how long the store took to begin its answers.
func firstByte() *prometheus.Desc {
	return prometheus.NewDesc("headrace_store_first_byte_seconds",
		"Time to the headers of answers that were no errors.", []string{"operation", "class"}, nil)
}

func collectFirstByte(desc *prometheus.Desc, s *snapshot, out chan<- prometheus.Metric) {
	for _, o := range s.meter.Ops {
		bounds := map[float64]uint64{}
		var below uint64
		for i, count := range o.FirstByte.Buckets {
			below += count
			if bound := objstore.LatencyBound(i); bound > 0 {
				bounds[bound.Seconds()] = below
			}
		}
		out <- prometheus.MustNewConstHistogram(desc, o.FirstByte.Count, o.FirstByte.Sum.Seconds(), bounds, o.Op.String(), o.Class.String())
	}
}
