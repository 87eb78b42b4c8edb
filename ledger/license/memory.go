package license

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// memory is what a provider's state remembers of commands, each for [MemoryOfCommands]: by id, and in the order in which they were decided and will
// be forgotten. Time never runs backwards from entry to entry, so that order needs no sorting.
type memory struct {
	known map[string]Remembered
	order []remembering
	gone  int // so many at the beginning of order are forgotten
}

type remembering struct {
	at time.Time
	id string
}

// memoryOf takes the map over.
func memoryOf(known map[string]Remembered) memory {
	m := memory{known: known}
	for id, r := range known {
		m.order = append(m.order, remembering{r.Time, id})
	}
	slices.SortFunc(m.order, func(a, b remembering) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	return m
}

// remember keeps a command, which was decided no earlier than those before.
func (m *memory) remember(id string, r Remembered) {
	if m.known == nil {
		m.known = make(map[string]Remembered)
	}
	m.known[id] = r
	m.order = append(m.order, remembering{r.Time, id})
}

// forget drops commands that were decided more than [MemoryOfCommands] before now.
func (m *memory) forget(now time.Time) {
	limit := now.Add(-MemoryOfCommands)
	for ; m.gone < len(m.order) && m.order[m.gone].at.Before(limit); m.gone++ {
		old := &m.order[m.gone]
		// One that was decided anew since is remembered from then on.
		if m.known[old.id].Time.Equal(old.at) {
			delete(m.known, old.id)
		}
		*old = remembering{}
	}
	if m.gone > len(m.order)/2 {
		m.order = slices.Delete(m.order, 0, m.gone)
		m.gone = 0
	}
}

func (m *memory) fork() memory { return memoryOf(maps.Clone(m.known)) }
