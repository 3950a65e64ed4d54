package faultfs

import "maps"

// pageBytes is the unit in which contents are kept.
const pageBytes = 4096

// content is the bytes of a file: the pages that were written, zeros elsewhere.
type content struct {
	pages map[int64]*[pageBytes]byte // by number; nil for none
	size  int64
}

// readAt fills p from an offset on and returns how many bytes there are.
func (c *content) readAt(p []byte, off int64) int {
	if off >= c.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		rest := p[done:min(len(p), done+int(pageBytes-at%pageBytes))]
		if page := c.pages[at/pageBytes]; page != nil {
			copy(rest, page[at%pageBytes:])
		} else {
			clear(rest)
		}
		done += len(rest)
	}
	return len(p)
}

// put writes p at an offset and leaves the size as it is.
func (c *content) put(p []byte, off int64) {
	for len(p) > 0 {
		n := copy(c.page(off / pageBytes)[off%pageBytes:], p)
		p, off = p[n:], off+int64(n)
	}
}

// page returns a page that can be written to.
func (c *content) page(number int64) *[pageBytes]byte {
	if c.pages == nil {
		c.pages = map[int64]*[pageBytes]byte{}
	}
	page := c.pages[number]
	if page == nil {
		page = new([pageBytes]byte)
		c.pages[number] = page
	}
	return page
}

// writeAt writes p at an offset.
func (c *content) writeAt(p []byte, off int64) {
	c.put(p, off)
	c.size = max(c.size, off+int64(len(p)))
}

// truncate sets the size. What lies behind it is zero when the file grows again.
func (c *content) truncate(size int64) {
	c.size = size
	maps.DeleteFunc(c.pages, func(number int64, _ *[pageBytes]byte) bool { return number*pageBytes >= size })
	if page := c.pages[size/pageBytes]; page != nil {
		clear(page[size%pageBytes:])
	}
}

// clone returns a copy.
func (c *content) clone() content {
	pages := make(map[int64]*[pageBytes]byte, len(c.pages))
	for number, page := range c.pages {
		bytes := *page
		pages[number] = &bytes
	}
	return content{pages: pages, size: c.size}
}

// missing returns how many pages a write would add.
func (c *content) missing(off, bytes int64) int64 {
	missing := int64(0)
	for number := off / pageBytes; number*pageBytes < off+bytes; number++ {
		if c.pages[number] == nil {
			missing++
		}
	}
	return missing
}
