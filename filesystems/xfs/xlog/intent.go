package xlog

// An Intent is what the log began and did not finish. Exactly one of Map and
// Exchange is set, or Other names what it is.
type Intent struct {
	Map      []MapIntent
	Exchange *ExchangeIntent
	Other    string // "EFI", "RUI", "CUI", "ATTRI"
	Ino      uint64 // of an ATTRI
}

// A MapIntent maps an extent of a file, or takes it away.
type MapIntent struct {
	Ino       uint64
	Unmap     bool
	AttrFork  bool
	Unwritten bool
	Realtime  bool
	Offset    uint64 // first block in the fork
	Start     uint64 // first block on the device
	Blocks    uint64
}

// An ExchangeIntent exchanges extents between two files.
type ExchangeIntent struct {
	Ino1, Ino2       uint64
	Gen1, Gen2       uint32
	AttrFork         bool
	SetSizes         bool
	OnlyWritten      bool // of the first file
	Offset1, Offset2 uint64
	Blocks           uint64
	Size1, Size2     uint64 // with SetSizes: those of the files afterwards
}

// Intents are those that Recover found unfinished, in the order of the log.
func (j *Journal) Intents() []*Intent { return j.intents }

type intentKey struct {
	kind uint16
	id   uint64
}

// intentName is the name of a kind of intent, and that of the kind that ends
// it; done is 0 where the kind is none.
func intentName(kind uint16) (name string, done uint16) {
	switch kind {
	case itemEFI, itemEFIRT:
		return "EFI", kind + 1
	case itemRUI, itemRUIRT:
		return "RUI", kind + 1
	case itemCUI, itemCUIRT:
		return "CUI", kind + 1
	case itemBUI:
		return "BUI", itemBUD
	case itemATTRI:
		return "ATTRI", itemATTRD
	case itemXMI:
		return "XMI", itemXMD
	}
	return "", 0
}

// applyIntent remembers an intent or forgets one that is done. known is false
// for items of other kinds.
func (r *recovery) applyIntent(t *transaction, it *item) (known bool, err error) {
	f := intentFormat{it.format(t.order)}
	kind := f.kind()
	name, done := intentName(kind)
	if done == 0 {
		if _, done := intentName(kind - 1); done != kind {
			return false, nil
		}
		if len(f.b) < intentFormatSize {
			return true, damaged(t, "a done item of %d bytes", len(f.b))
		}
		delete(r.intents, intentKey{kind - 1, f.id()})
		return true, nil
	}
	if len(f.b) < intentFormatSize {
		return true, damaged(t, "%s of %d bytes", name, len(f.b))
	}
	in := &Intent{}
	switch kind {
	case itemBUI:
		b := bmapFormat{f}
		if uint64(len(f.b)) < intentFormatSize+uint64(b.extents())*mapExtentSize {
			return true, damaged(t, "BUI of %d extents in %d bytes", b.extents(), len(f.b))
		}
		for i := range int(b.extents()) {
			m := MapIntent{Ino: b.owner(i), Unmap: b.flags(i)&mapTypeMask == mapTypeUnmap, AttrFork: b.flags(i)&mapAttrFork != 0,
				Unwritten: b.flags(i)&mapUnwritten != 0, Realtime: b.flags(i)&mapRealtime != 0,
				Offset: b.offset(i), Start: b.start(i), Blocks: uint64(b.blocks(i))}
			if !m.Unmap && b.flags(i)&mapTypeMask != mapTypeMap {
				return true, damaged(t, "BUI with the flags %#x", b.flags(i))
			}
			in.Map = append(in.Map, m)
		}
	case itemXMI:
		if len(f.b) < exchangeFormatSize {
			return true, damaged(t, "XMI of %d bytes", len(f.b))
		}
		x := exchangeFormat{f}
		in.Exchange = &ExchangeIntent{Ino1: x.ino1(), Ino2: x.ino2(), Gen1: x.gen1(), Gen2: x.gen2(),
			AttrFork: x.flags()&exchangeAttrFork != 0, SetSizes: x.flags()&exchangeSetSizes != 0, OnlyWritten: x.flags()&exchangeIno1Written != 0,
			Offset1: x.offset1(), Offset2: x.offset2(), Blocks: x.blocks(), Size1: x.size1(), Size2: x.size2()}
	default:
		in.Other = name
		if kind == itemATTRI && len(f.b) >= attrFormatSize {
			in.Ino = attrFormat{f}.ino()
		}
	}
	key := intentKey{kind, f.id()}
	if _, ok := r.intents[key]; !ok {
		r.order = append(r.order, key)
	}
	r.intents[key] = in
	return true, nil
}
