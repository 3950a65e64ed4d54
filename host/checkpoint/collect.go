package checkpoint

// collectPercent is the part of a value file that has a key, or less, at which what is
// left is moved to the newest file and the file is removed: so value files are at most
// about twice as large as what lives in them.
const collectPercent = 50

// collectBytes is what one transaction moves: little, since a commit that comes meanwhile
// waits for it.
const collectBytes = foldTxnBytes

// collect removes a value file that nobody reads any more, or empties one of which little
// lives, and reports whether it has done anything.
func (f *folder) collect() (did bool, err error) {
	v := f.store.values
	if file := v.removable(); file != nil {
		if err := v.remove(file); err != nil {
			return true, err
		}
		f.store.counters.collected.Add(1)
		return true, nil
	}
	keys, found := v.sparse(collectPercent)
	if !found {
		return false, nil
	}
	var size int64
	for i := range keys {
		at, _ := v.where(keys[i].bytes())
		size += int64(at.size)
	}
	if fits, err := f.fits(size); !fits {
		return err != nil, err
	}
	return true, f.move(keys)
}

// fits reports whether the disk takes what is moved. What is kept free of it is for this as
// well: the file that is emptied gives back more.
func (f *folder) fits(size int64) (bool, error) {
	if f.store.options.FreeMinBytes == 0 {
		return true, nil
	}
	free, err := FreeBytes(f.store.dir.path)
	return err == nil && free >= 2*size, err
}

// move writes the values of keys again, behind all others.
func (f *folder) move(keys []placedKey) error {
	s := f.store
	turn := s.values.hold()
	defer s.values.release(turn)
	var pending []write
	var buffer []byte
	limit := min(collectBytes, s.txnLimit.files)
	flush := func() error {
		err := s.transact(pending)
		pending, buffer = pending[:0], buffer[:0]
		return err
	}
	for i := range keys {
		if f.ending.Load() {
			return errEnding
		}
		key := keys[i].bytes()
		at, ok := s.values.where(key)
		if !ok {
			continue
		}
		if len(pending) > 0 && (len(buffer)+int(at.size) > limit || len(pending) == s.txnWrites) {
			if err := flush(); err != nil {
				return err
			}
		}
		first := len(buffer)
		buffer = append(buffer, make([]byte, at.size)...) // pending values keep what they have when it moves
		value := buffer[first:]
		if err := s.values.read(at, value, 0); err != nil {
			s.values.leave(at.file)
			return err
		}
		pending = append(pending, write{key: key, value: value, moved: true, from: at})
	}
	if len(pending) == 0 {
		return nil
	}
	return flush()
}
