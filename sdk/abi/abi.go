package abi

// Version of the contract. The major is part of the marker export's name, so a module of
// another major is recognised without running it. A host accepts every minor up to its own.
const (
	Major = 1
	Minor = 0
	// Version is how a manifest names the contract.
	Version = "1.0"
)

// Exports of a module.
const (
	ExportMemory     = "memory"
	ExportMarker     = "tariff_abi_v1"    // () -> i32: the minor the module was built for
	ExportInitialize = "_initialize"      // (), optional: called once, first
	ExportArena      = "tariff_arena"     // (size i32) -> i32: pointer, 16-aligned, 0 = refused
	ExportConfigure  = "tariff_configure" // (handle i32, length i32) -> i32: RC*
	ExportPrice      = "tariff_price"     // (pointer i32) -> i32: RC*
)

// Imports that a module may have. Of ImportWASI only the deterministic subset is there.
const (
	ImportModule     = "tollway_v1"
	ImportBegin      = "begin"      // (index i32): announces the unit of work that follows
	ImportBeginMany  = "begin_many" // (index i32, count i32): announces several, which share the fuel of one
	ImportWASI       = "wasi_snapshot_preview1"
	ImportEnv        = "env"
	ImportEnvAbort   = "abort" // (i32, i32, i32, i32): AssemblyScript's assertion failure
	SectionManifest  = "tollway.manifest"
	GlobalCursor     = "__cursor"        // i32, added by the rewriter: the last unit announced
	GlobalFirst      = "__first"         // i32, added by the rewriter: the first unit announced with it
	GlobalFuel       = "__fuel"          // i64, added by the rewriter: what is left
	GlobalFuelUnit   = "__fuel_per_unit" // i64, added by the rewriter: what begin refills to
	GlobalUnits      = "__units"         // i32, added by the rewriter: units of this call
	GlobalReservedAs = "__"              // exports that begin so are the rewriter's
)

// Result codes of tariff_configure and tariff_price. Anything else is a fault.
const (
	RCOK         = 0 // the output stands
	RCFault      = 1 // the author's or the SDK's fault; text of err_len bytes at the reply place
	RCStateNeed  = 2 // a slot needs state_need bytes of state; price again with more
	RCRejectFull = 3 // the reject table is full; price again in smaller batches
)

// Header: the first HeaderSize bytes of the arena. All offsets in it are relative to the
// arena's start. The guest writes n_rejects, reply_len and err_len only.
const (
	HeaderSize = 128

	HeaderMagic        = 0  // u32
	HeaderMajor        = 4  // u16
	HeaderMinor        = 6  // u16
	HeaderHeaderSize   = 8  // u32
	HeaderEvents       = 12 // u32 n_events
	HeaderSlots        = 16 // u32 n_slots
	HeaderEventOff     = 20 // u32
	HeaderEventStride  = 24 // u32
	HeaderSlotOff      = 28 // u32
	HeaderSlotStride   = 32 // u32
	HeaderDims         = 36 // u32 n_dims
	HeaderValueOff     = 40 // u32
	HeaderValues       = 44 // u32 n_values
	HeaderStringOff    = 48 // u32
	HeaderStringLen    = 52 // u32
	HeaderRejectOff    = 56 // u32
	HeaderRejectStride = 60 // u32
	HeaderRejectsMax   = 64 // u32 n_rejects_max
	HeaderArenaSize    = 68 // u32
	HeaderRejects      = 72 // u32 n_rejects, written by the guest
	HeaderReplyLen     = 76 // u32, written by the guest
	HeaderErrLen       = 80 // u32, written by the guest
	HeaderUnitsMax     = 84 // u32: how many units begin_many may announce at once
	HeaderFinals       = 88 // u32: how many slots are final
	HeaderReserved     = 92 // 92..127, zero
)

// Magic is 'T','W','L','1' read as a little-endian u32.
const Magic = 'T' | 'W'<<8 | 'L'<<16 | '1'<<24

// Event row.
const (
	EventSlot     = 0  // u32: index of the slot
	EventFlags    = 4  // u32: EventFlag*
	EventTime     = 8  // i64: unix nanoseconds
	EventQuantity = 16 // i128 at scale 18
	EventAmount   = 32 // i128 at scale 18, when EventFlagAmount is set
	EventDims     = 48 // u32[n_dims]: ids of values

	EventFlagAmount = 1 // the event carries money of its own
)

// Slot row: one subscription, tariff version, period and group combination.
const (
	SlotSize = 96

	SlotPeriodStart = 0  // i64: unix nanoseconds, included
	SlotPeriodEnd   = 8  // i64: unix nanoseconds, excluded
	SlotActiveFrom  = 16 // i64: the subscription within the version and the period
	SlotActiveUntil = 24 // i64
	SlotHandle      = 32 // u32: which configuration
	SlotFlags       = 36 // u32: SlotFlag*
	SlotLines       = 40 // u32 n_lines
	SlotLineOff     = 44 // u32
	SlotStateOff    = 48 // u32
	SlotStateLen    = 52 // u32, in and out
	SlotStateCap    = 56 // u32
	SlotStateNeed   = 60 // u32, written by the guest with RCStateNeed
	SlotCarryInOff  = 64 // u32
	SlotCarryInLen  = 68 // u32
	SlotCarryOutOff = 72 // u32
	SlotCarryOutLen = 76 // u32, written by the guest when the slot is final
	SlotCarryOutCap = 80 // u32
	SlotReserved    = 84 // 84..95, zero

	SlotFlagNew   = 1 // nothing was priced in it before: state_len 0, lines zero
	SlotFlagFinal = 2 // the period ends with this batch: finish after the events
)

// Line: a line item so far, in and out.
const (
	LineSize     = 32
	LineQuantity = 0  // i128 at scale 18
	LineAmount   = 16 // i128 at scale 18
)

// Value row: a dimension value, interned per batch. Row 0 is always the empty string.
const (
	ValueSize = 8
	ValueOff  = 0 // u32, relative to string_off
	ValueLen  = 4 // u32
)

// Reject row.
const (
	RejectSize      = 192
	RejectEvent     = 0 // u32: index of the event
	RejectReasonLen = 4 // u16
	RejectDetailLen = 6 // u16
	RejectText      = 8 // reason, then detail, UTF-8

	RejectTextMax = RejectSize - RejectText
)

// Limits. A module that needs more does not fit this version; a host may hold tighter ones.
const (
	Align              = 16      // of the arena and of every region and stride in it
	DimsMax            = 16      // dimensions of one configuration
	LinesMax           = 1024    // lines of one configuration
	StateFixedMax      = 4096    // bytes of fixed state of a slot
	StateMax           = 1 << 20 // bytes of variable state of a slot
	CarryMax           = 1 << 20 // bytes of carry of a slot
	RejectsMax         = 256     // rows of the reject table
	ReasonMax          = 63      // bytes: [a-z][a-z0-9_]{0,62}
	LineIDMax          = 63      // bytes, as a reason
	DescriptionMax     = 200     // bytes of a line's description
	TextMax            = 4096    // bytes of a fault's text
	HandlesMax         = 1 << 20 // configurations of one instance
	ModuleMaxBytes     = 16 << 20
	MemoryMaxBytes     = 64 << 20    // of a guest, unless the manifest asks for less
	FuelPerEvent       = 1_000_000   // unless the manifest says otherwise; a server gives more by its operator's leave
	FuelPerEventMax    = 50_000_000  // whatever the operator allows
	FuelBase           = 1_000_000   // of a call, before the first begin
	FuelStart          = 16_000_000  // of _initialize and of tariff_arena, unless the manifest says otherwise
	FuelConfigure      = 5_000_000   // of one configure, likewise
	FuelStartMax       = 100_000_000 // whatever the operator allows
	FuelPerParamByte   = 4_000       // of one configure beyond that, for each byte of its request
	FuelPerHeldByte    = 600         // and for each byte of the requests that the instance has taken before
	CallDepthMax       = 1_000
	ManifestMaxBytes   = 1 << 20
	TariffsPerModule   = 256
	ArenaMinBytes      = 128 << 10
	ArenaMaxBytes      = 32 << 20
	ConfigureNameMax   = 63 // bytes of a tariff's name
	BatchEventsDefault = 4096
)

// Reasons that the SDK itself gives; an author's own reasons stand beside them.
const (
	ReasonPanic    = "tariff_panic" // the tariff's code panicked on this event
	ReasonOverflow = "overflow"     // a number left the range of 128 bits at scale 18
	ReasonTrap     = "tariff_trap"  // given by the host: out of fuel, memory, depth, or crashed
)

// EventStride is the size of an event row with the given number of dimensions.
func EventStride(dims int) int { return (EventDims + 4*dims + Align - 1) &^ (Align - 1) }
