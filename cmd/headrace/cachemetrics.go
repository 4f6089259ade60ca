package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/headrace/headrace/cache"
)

// cacheFamilies say what becomes of the bytes that were read.
func cacheFamilies() []family {
	return []family{
		{
			"disk_decided_bytes_total", "Bytes of chunks fetched, by what --cache-policy had become of them: kept on the disk or left, and why.",
			prometheus.CounterValue,
			[]string{"decision"},
			func(s *snapshot, emit func(float64, ...string)) {
				for reason, n := range s.cache.Decided {
					emit(float64(n), cache.Reason(reason).String())
				}
			},
		},
	}
}
