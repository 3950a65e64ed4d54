package plugins

// MemoryUsed returns the bytes of memory that the plugin had at the end of its last call, its arena included, and the
// most it may have. Memory is put back before every call, so what a batch needs is what its last call needed.
func (i *Instance) MemoryUsed() (used, limit int64) {
	if i.api == nil {
		return 0, 0
	}
	return int64(uint32(i.control.pages.Get())) * pageSize, int64(i.module.rewritten.PagesMax) * pageSize
}
