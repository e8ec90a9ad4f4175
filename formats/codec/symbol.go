package codec

// block decodes the symbols of a block up to its end or until dst is full.
func (f *inflater) block() (full bool, err error) {
	for {
		if f.in <= len(f.src)-fastIn && f.out <= len(f.dst)-fastOut {
			if ended, err := f.fast(); ended || err != nil {
				return false, err
			}
		}
		ended, full, err := f.symbol()
		if ended || full || err != nil {
			return full, err
		}
	}
}

// symbol decodes one symbol, with every check.
func (f *inflater) symbol() (ended, full bool, err error) {
	f.refill()
	e, err := f.lookup(f.lengths[:], lengthTableBits)
	if err != nil {
		full, err = f.ends()
		return false, full, err
	}
	if e&isLiteral != 0 {
		if err := f.drop(uint(e & entryBits)); err != nil {
			full, err = f.ends()
			return false, full, err
		}
		if f.out == len(f.dst) {
			return false, true, nil
		}
		f.dst[f.out] = byte(e >> entryValue)
		f.out++
		return false, false, nil
	}
	if e&isEnd != 0 {
		return true, false, f.drop(uint(e & entryBits))
	}
	if f.out == len(f.dst) {
		return false, true, nil
	}
	if e&isSpecial != 0 {
		return false, false, errCode
	}
	length, err := f.value(e)
	if err != nil {
		return false, false, err
	}
	f.refill()
	if e, err = f.lookup(f.distances[:], distanceTableBits); err != nil {
		return false, false, err
	}
	if e&isSpecial != 0 {
		return false, false, errCode
	}
	distance, err := f.value(e)
	if err != nil {
		return false, false, err
	}
	if distance > f.out {
		return false, false, errDistance
	}
	to := f.dst[f.out:min(f.out+length, len(f.dst))]
	from := f.dst[f.out-distance:]
	for i := range to {
		to[i] = from[i]
	}
	f.out += len(to)
	return false, len(to) < length, nil
}

// lookup is the entry of the next code, for which the bits of a main table
// index are dropped where it is in a subtable.
func (f *inflater) lookup(table []entry, tableBits uint) (entry, error) {
	e := table[f.bits&(1<<tableBits-1)]
	if e&isSubtable != 0 {
		if err := f.drop(tableBits); err != nil {
			return 0, err
		}
		e = table[uint64(e>>entryValue)+f.bits&(1<<(e>>entryCodeAt&entryCode)-1)]
	}
	return e, nil
}

// value drops the bits of e and gives its base with the extra bits.
func (f *inflater) value(e entry) (int, error) {
	bits, code := uint(e&entryBits), e>>entryCodeAt&entryCode
	extra := f.bits & (1<<bits - 1) >> code
	return int(e>>entryValue) + int(extra), f.drop(bits)
}
