package names

// Recall gives what was last heard of a name, however old, and asks nothing; false when nothing is remembered, or that
// there was no such name. It is for callers who find out by what they do next whether it still holds: Confirmed tells
// them how old it is.
func (t *Tree) Recall(dir, name string) (Item, bool) {
	a := address{dir, name}
	t.mu.Lock()
	defer t.mu.Unlock()
	if item, ok := t.own.held[dir][name]; ok {
		item.Confirmed = t.memory.stamp().at
		return item, true
	}
	ans, _ := t.memory.singles.Get(a)
	if !t.memory.valid(a, ans.asked) {
		ans = answer{}
	}
	if l, ok := t.memory.listings.Get(dir); ok {
		fromList, says := l.lookup(name)
		if says && fromList.asked.seq > ans.asked.seq && t.memory.valid(a, fromList.asked) {
			ans = fromList
		}
	}
	return ans.item, ans.found
}
