package fuel

// Limits on a module. They are far above what compilers emit for tariffs, and low enough that
// reading, rewriting and compiling a hostile module stays affordable.
const (
	// ModuleBytesMax is the largest module in bytes.
	ModuleBytesMax = 16 << 20
	// FunctionsMax is the largest number of functions, imported ones included.
	FunctionsMax = 100_000
	// BodyBytesMax is the largest function body in bytes.
	BodyBytesMax = 512 << 10
	// LocalsMax is the largest number of locals of one function, parameters included.
	LocalsMax = 4_096
	// NestingMax is how deep blocks may stand in each other. Go nests one block for every point
	// at which a function can be resumed, so this is large.
	NestingMax = 65_536
	// TypesMax is the largest number of function types.
	TypesMax = 20_000
	// TypeValuesMax is the largest number of parameters, and of results, of one function type.
	TypeValuesMax = 1_000
	// ImportsMax is the largest number of imports.
	ImportsMax = 1_000
	// ExportsMax is the largest number of exports.
	ExportsMax = 10_000
	// GlobalsMax is the largest number of globals.
	GlobalsMax = 10_000
	// TablesMax is the largest number of tables.
	TablesMax = 16
	// TableElementsMax is the largest size of one table in elements, and the most that all element segments
	// together may hold.
	TableElementsMax = 1_000_000
	// CustomsMax is the largest number of custom sections.
	CustomsMax = 1_000
	// SegmentsMax is the largest number of element segments, and of data segments.
	SegmentsMax = 100_000
	// NameBytesMax is the longest name of an import, an export or a custom section.
	NameBytesMax = 1_000
	// MemoryPagesMax is the largest memory, in pages of 64 KiB, that can be asked for.
	MemoryPagesMax = 65_536
)

// DepthMax is the call depth that a host grants to a call. Most functions take one from it; a
// function whose frame may be large takes more (see frameWeight), so that the depth bounds the
// bytes of the native stack as well as the number of calls.
const DepthMax = 1_000

// GrowCost is the fuel that memory.grow takes, whether it succeeds or not.
const GrowCost = 10_000

// HostCallCost is the fuel that a call of an imported function takes beyond the call itself: what
// the host does is not counted otherwise.
const HostCallCost = 100

// HeadCost is the fuel that every pass of a loop head and every entry of a function takes beyond its
// instructions: it pays for counting, and for the branch.
const HeadCost = 8

// BulkCost is the fuel that a bulk memory operation takes beyond what its length costs.
const BulkCost = 16

// bulkShift divides the length of a bulk memory operation into fuel: one unit for four bytes.
const bulkShift = 2

// frameValues is the number of values that one unit of depth pays for. A native frame holds at
// most one slot of eight bytes for each value that a function computes, so DepthMax frames of
// this size stay well below the 50 MB that the runtime gives to the stack of a call.
const frameValues = 4_096
