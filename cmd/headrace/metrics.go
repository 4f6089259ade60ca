package main

import (
	"slices"

	"github.com/headrace/headrace/cache"
	"github.com/headrace/headrace/cache/disk"
	"github.com/headrace/headrace/cache/listings"
	"github.com/headrace/headrace/fs"
	"github.com/headrace/headrace/objstore"
	"github.com/headrace/headrace/prefetch"
	"github.com/headrace/headrace/upload"
	"github.com/prometheus/client_golang/prometheus"
)

// snapshot is what every layer of a stack counts, taken at one time.
type snapshot struct {
	meter   objstore.MeterStats
	gate    objstore.GateStats
	hedges  objstore.HedgeStats // zero without --hedge-budget
	retries [objstore.NumOps]uint64
	cache   cache.Stats
	disk    disk.Stats // zero without --cache-dir
	files   prefetch.Stats
	mount   fs.Stats
	uploads upload.Stats // zero for a mount that is read-only

	fromCopy int64          // reads from copies of objects
	fellBack int64          // of those, reads that went to the original because the copy failed
	names    listings.Stats // zero without --cache-dir
	keys     int            // in the index of hashed keys
	keyBytes int64          // of memory that it takes

	distances []distance // of the buckets that are open

	endpoint string // what requests go to; "" for AWS
	switches uint64 // how often that has changed
}

func (s *stack) snapshot() snapshot {
	now := snapshot{meter: s.meter.Stats(), gate: s.gate.Stats(), cache: s.cache.Stats(), files: s.files.Stats(), mount: s.mount.Stats()}
	now.disk, _ = s.cache.Disk()
	now.endpoint, now.switches = s.client.Using()
	now.fromCopy, now.fellBack = s.spread.stats()
	now.keys, now.keyBytes = s.layout.size()
	now.names = s.names.stats()
	now.distances = s.distances.all()
	if s.uploads != nil {
		now.uploads = s.uploads.Stats()
	}
	if s.hedger != nil {
		now.hedges = s.hedger.Stats()
	}
	for op := range s.retries {
		now.retries[op] = s.retries[op].Load()
	}
	return now
}

// metric is one number of a snapshot as Prometheus shows it.
type metric struct {
	name  string // without the "headrace_" in front
	help  string
	kind  prometheus.ValueType
	value func(*snapshot) int64
}

// collector turns snapshots into metrics. It holds no state: the layers count, and what they count is read when asked.
type collector struct {
	take      func() snapshot
	metrics   []metric
	families  []family
	descs     []*prometheus.Desc // of metrics and then families, in their order
	firstByte *prometheus.Desc
}

func newCollector(take func() snapshot) *collector {
	c := &collector{take: take, metrics: layerMetrics(), families: slices.Concat(storeFamilies(), distanceFamilies(), gateFamilies(), cacheFamilies()), firstByte: firstByte()}
	for _, m := range c.metrics {
		c.descs = append(c.descs, prometheus.NewDesc("headrace_"+m.name, m.help, nil, nil))
	}
	for _, f := range c.families {
		c.descs = append(c.descs, prometheus.NewDesc("headrace_"+f.name, f.help, f.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		descs <- d
	}
	descs <- c.firstByte
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.take()
	for i, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(c.descs[i], m.kind, float64(m.value(&s)))
	}
	for i, f := range c.families {
		desc := c.descs[len(c.metrics)+i]
		f.each(&s, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(desc, f.kind, value, labels...)
		})
	}
	collectFirstByte(c.firstByte, &s, out)
}

// number is 1 for what is so.
func number(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

// layerMetrics are the numbers without labels, by layer from the kernel down.
func layerMetrics() []metric {
	return slices.Concat(mountMetrics(), prefetchMetrics(), memoryMetrics(), diskMetrics(), nameMetrics(), uploadMetrics(), requestMetrics())
}

func mountMetrics() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"fs_nodes", "Node ids the kernel may use.", gauge, func(s *snapshot) int64 { return int64(s.mount.Nodes) }},
		{"fs_open_files", "Open file handles.", gauge, func(s *snapshot) int64 { return int64(s.mount.Files) }},
		{"fs_open_directories", "Open directory handles.", gauge, func(s *snapshot) int64 { return int64(s.mount.Dirs) }},
		{"fs_locked_paths", "Paths on which somebody holds a lock.", gauge, func(s *snapshot) int64 { return int64(s.mount.Locks) }},
		{"fs_lookups_total", "Names the kernel asked for.", counter, func(s *snapshot) int64 { return s.mount.Lookups }},
		{"fs_opens_total", "Files opened.", counter, func(s *snapshot) int64 { return s.mount.Opens }},
		{"fs_passthrough_opens_total", "Of these, files that the kernel reads from the disk cache by itself.", counter, func(s *snapshot) int64 { return s.mount.Passthrough }},
		{"fs_reads_total", "Read requests answered, which the kernel's page cache did not answer.", counter, func(s *snapshot) int64 { return s.mount.Reads }},
		{"fs_read_bytes_total", "Bytes they returned.", counter, func(s *snapshot) int64 { return s.mount.ReadBytes }},
		{"fs_directory_entries_total", "Names returned by readdir.", counter, func(s *snapshot) int64 { return s.mount.DirEntries }},
		{"fs_stale_total", "Times a version was found replaced.", counter, func(s *snapshot) int64 { return s.mount.Stale }},
		{"fs_interrupted_total", "Requests given up because the caller was killed.", counter, func(s *snapshot) int64 { return s.mount.Interrupted }},
		{"fs_errors_total", "Requests answered with an errno that is logged.", counter, func(s *snapshot) int64 { return s.mount.Errors }},

		{"prefetch_siblings_asked_total", "Small files fetched ahead of their opening, because others of their directory were opened.", counter, func(s *snapshot) int64 { return s.mount.Siblings.Asked }},
		{"prefetch_siblings_used_total", "Of these, files that were opened.", counter, func(s *snapshot) int64 { return s.mount.Siblings.Used }},
		{"prefetch_siblings_wasted_total", "Of these, files that did not come, had to be fetched again, or whose directory nobody reads any more.", counter, func(s *snapshot) int64 { return s.mount.Siblings.Wasted }},

		{"fs_listings_ahead_total", "Directories listed ahead of their readers, because others beside them were read one after another.", counter, func(s *snapshot) int64 { return s.mount.Foresight.Asked }},
		{"fs_listings_ahead_used_total", "Of these, directories that were read while the answer was good.", counter, func(s *snapshot) int64 { return s.mount.Foresight.Used }},
		{"fs_listings_ahead_wasted_total", "Of these, those that failed, or that nobody came to in time.", counter, func(s *snapshot) int64 { return s.mount.Foresight.Wasted }},
	}
}

func prefetchMetrics() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"prefetch_reads_total", "Reads of open files.", counter, func(s *snapshot) int64 { return s.files.Reads }},
		{"prefetch_read_bytes_total", "Bytes they returned.", counter, func(s *snapshot) int64 { return s.files.ReadBytes }},
		{"prefetch_demand_bytes_total", "Bytes asked from the store because a reader waited.", counter, func(s *snapshot) int64 { return s.files.DemandBytes }},
		{"prefetch_ahead_bytes_total", "Bytes asked from the store ahead of a reader.", counter, func(s *snapshot) int64 { return s.files.PrefetchBytes }},
		{"prefetch_sequential_reads_total", "Reads that belonged to a sequential lane.", counter, func(s *snapshot) int64 { return s.files.SequentialReads }},
		{"prefetch_random_reads_total", "Reads for which requests were shrunk to blocks.", counter, func(s *snapshot) int64 { return s.files.RandomReads }},
		{"prefetch_completed_chunks_total", "Chunks of randomly read files that were completed.", counter, func(s *snapshot) int64 { return s.files.CompletedChunks }},
		{"prefetch_short_answers_total", "Times the cache took less than it was asked to: memory was short.", counter, func(s *snapshot) int64 { return s.files.ShortAnswers }},
		{"prefetch_lanes_dropped_total", "Lanes that gave way to newer ones or were idle.", counter, func(s *snapshot) int64 { return s.files.LanesDropped }},
		{"prefetch_active_lanes", "Lanes that share the budget.", gauge, func(s *snapshot) int64 { return s.files.ActiveLanes }},
	}
}

func memoryMetrics() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"cache_memory_limit_bytes", "The limit given by --memory.", gauge, func(s *snapshot) int64 { return s.cache.MemoryLimit }},
		{"cache_memory_used_bytes", "Bytes of it that are committed.", gauge, func(s *snapshot) int64 { return s.cache.MemoryUsed }},
		{"cache_memory_peak_bytes", "The most that were committed.", gauge, func(s *snapshot) int64 { return s.cache.MemoryPeak }},
		{"cache_held_bytes", "Bytes that can be read without waiting.", gauge, func(s *snapshot) int64 { return s.cache.BytesHeld }},
		{"cache_chunks", "Chunks of which something is held.", gauge, func(s *snapshot) int64 { return s.cache.Chunks }},
		{"cache_fills", "GETs under way.", gauge, func(s *snapshot) int64 { return s.cache.Fills }},
		{"cache_hits_total", "Reads answered at once.", counter, func(s *snapshot) int64 { return s.cache.Hits }},
		{"cache_misses_total", "Reads that had to wait.", counter, func(s *snapshot) int64 { return s.cache.Misses }},
		{"cache_read_bytes_total", "Bytes given to readers.", counter, func(s *snapshot) int64 { return s.cache.BytesRead }},
		{"cache_fills_started_total", "Fills begun: GETs, unless the disk has the bytes.", counter, func(s *snapshot) int64 { return s.cache.FillsStarted }},
		{"cache_fills_failed_total", "GETs that failed for good.", counter, func(s *snapshot) int64 { return s.cache.FillsFailed }},
		{"cache_fills_cancelled_total", "GETs ended because nobody wanted them any more.", counter, func(s *snapshot) int64 { return s.cache.FillsCancelled }},
		{"cache_fetched_bytes_total", "Bytes that came from the store.", counter, func(s *snapshot) int64 { return s.cache.BytesFetched }},
		{"cache_local_bytes_total", "Bytes that came from the disk.", counter, func(s *snapshot) int64 { return s.cache.BytesLocal }},
		{"cache_disk_stalls_total", "Calls that the cache disk did not answer in 10 s; the store is asked instead.", counter, func(s *snapshot) int64 { return s.cache.DiskStalls }},
		{"cache_raised_total", "Fills made ahead that a reader caught up with.", counter, func(s *snapshot) int64 { return s.cache.Raised }},
		{"cache_evictions_total", "Chunks evicted.", counter, func(s *snapshot) int64 { return s.cache.Evictions }},
		{"cache_evicted_unread_total", "Of these, chunks nobody had read.", counter, func(s *snapshot) int64 { return s.cache.EvictedUnread }},
		{"cache_reused_total", "Chunks given up because the kernel's page cache has them, for the sake of their memory.", counter, func(s *snapshot) int64 { return s.cache.Reused }},
		{"cache_memory_waits_total", "Reads that had to wait for memory.", counter, func(s *snapshot) int64 { return s.cache.MemoryWaits }},
		{"cache_short_fetches_total", "Times less was accepted than was asked for.", counter, func(s *snapshot) int64 { return s.cache.FetchesShort }},
	}
}

func diskMetrics() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"disk_owner", "1 where this mount owns the cache directory, 0 where it shares another's, or has none.", gauge, func(s *snapshot) int64 { return number(s.disk.Owner) }},
		{"disk_limit_bytes", "The limit given by --cache-size; 0 without --cache-dir.", gauge, func(s *snapshot) int64 { return s.disk.Limit }},
		{"disk_used_bytes", "Bytes that chunks take on the disk.", gauge, func(s *snapshot) int64 { return s.disk.Used }},
		{"disk_index_bytes", "Bytes that the index takes on the disk.", gauge, func(s *snapshot) int64 { return s.disk.Index }},
		{"disk_free_bytes", "Bytes that the disk has free.", gauge, func(s *snapshot) int64 { return s.disk.Free }},
		{"disk_chunks", "Chunks on the disk.", gauge, func(s *snapshot) int64 { return s.disk.Chunks }},
		{"disk_versions", "Object versions of which something is on the disk.", gauge, func(s *snapshot) int64 { return s.disk.Versions }},
		{"disk_queued_bytes", "Bytes of memory that wait to be written to the disk.", gauge, func(s *snapshot) int64 { return s.disk.Queued }},
		{"disk_uncommitted", "Chunks and object versions on the disk that a restart would not find yet; they are committed within two seconds.", gauge, func(s *snapshot) int64 { return s.disk.Uncommitted }},
		{"disk_hits_total", "Chunks found on the disk.", counter, func(s *snapshot) int64 { return s.disk.Hits }},
		{"disk_misses_total", "Chunks not found there.", counter, func(s *snapshot) int64 { return s.disk.Misses }},
		{"disk_read_bytes_total", "Bytes read from the disk.", counter, func(s *snapshot) int64 { return s.disk.BytesRead }},
		{"disk_written_bytes_total", "Bytes written to it.", counter, func(s *snapshot) int64 { return s.disk.BytesWritten }},
		{"disk_skipped_bytes_total", "Bytes not written because the disk was behind or failed.", counter, func(s *snapshot) int64 { return s.disk.BytesSkipped }},
		{"disk_adopted_total", "Files taken over by the disk cache when they were stored.", counter, func(s *snapshot) int64 { return s.disk.Adopted }},
		{"disk_rejected_total", "Chunks not kept because those on the disk are worth more.", counter, func(s *snapshot) int64 { return s.disk.Rejected }},
		{"disk_evicted_total", "Chunks evicted from the disk.", counter, func(s *snapshot) int64 { return s.disk.Evicted }},
		{"disk_corrupt_total", "Blocks on the disk that were not what was written.", counter, func(s *snapshot) int64 { return s.disk.Corrupt }},
		{"disk_lost_total", "Blocks that were not in their file.", counter, func(s *snapshot) int64 { return s.disk.Lost }},
		{"disk_errors_total", "Errors of the disk.", counter, func(s *snapshot) int64 { return s.disk.Errors }},
	}
}

func uploadMetrics() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"upload_files", "Files that are open for writing or not stored yet.", gauge, func(s *snapshot) int64 { return int64(s.uploads.Files) }},
		{"upload_pending_files", "Of these, those with something to be stored.", gauge, func(s *snapshot) int64 { return int64(s.uploads.Pending) }},
		{"upload_staged_bytes", "Bytes of staging files on the disk.", gauge, func(s *snapshot) int64 { return s.uploads.Staged }},
		{"upload_staging_limit_bytes", "The limit given by --staging-size.", gauge, func(s *snapshot) int64 { return s.uploads.Limit }},
		{"upload_stored_total", "Files stored, once for each close or fsync that stored something.", counter, func(s *snapshot) int64 { return s.uploads.Stored }},
		{"upload_conflicts_total", "Files that somebody else had replaced; they are kept for `headrace uploads`.", counter, func(s *snapshot) int64 { return s.uploads.Conflicts }},
		{"upload_failures_total", "Attempts to store a file that failed and are made again.", counter, func(s *snapshot) int64 { return s.uploads.Failures }},
		{"upload_puts_total", "Files stored by one request.", counter, func(s *snapshot) int64 { return s.uploads.Puts }},
		{"upload_parts_total", "Parts sent.", counter, func(s *snapshot) int64 { return s.uploads.Parts }},
		{"upload_copied_parts_total", "Parts that the store copied of what was there.", counter, func(s *snapshot) int64 { return s.uploads.Copies }},
		{"upload_sent_bytes_total", "Bytes sent.", counter, func(s *snapshot) int64 { return s.uploads.BytesSent }},
		{"upload_copied_bytes_total", "Bytes that the store copied.", counter, func(s *snapshot) int64 { return s.uploads.BytesCopied }},
	}
}

func requestMetrics() []metric {
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"gate_limit", "Requests that may be under way at once, now.", gauge, func(s *snapshot) int64 { return int64(s.gate.Limit) }},
		{"gate_limit_max", "The most that may be, by --max-concurrency.", gauge, func(s *snapshot) int64 { return int64(s.gate.Max) }},
		{"gate_throttled_total", "Answers by which the store asked for less.", counter, func(s *snapshot) int64 { return int64(s.gate.Throttled) }},
		{"gate_partitions", "Beginnings of keys that have a limit of their own, because the store throttles them.", gauge, func(s *snapshot) int64 { return int64(s.gate.Parts) }},
		{"gate_shed_total", "GETs that hung with many others, and were broken off to be asked again.", counter, func(s *snapshot) int64 { return int64(s.gate.Shed) }},

		{"hedge_tries_total", "Second GETs sent because a reader waited much longer than usual.", counter, func(s *snapshot) int64 { return int64(s.hedges.Tries) }},
		{"hedge_wins_total", "Those of them that were faster than the first.", counter, func(s *snapshot) int64 { return int64(s.hedges.Wins) }},
		{"hedge_denied_total", "Times that --hedge-budget had no second GET to spare.", counter, func(s *snapshot) int64 { return int64(s.hedges.Denied) }},
	}
}
