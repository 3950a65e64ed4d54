package wasmtest

// Places in the memory of a [Tariff].
const (
	ReplyAt = 1_024  // the reply to every configuration
	ArenaAt = 65_536 // the arena
)

// The functions of a [Tariff], for calls and exports. Functions that a test adds come after.
const (
	FuncBegin uint32 = iota
	FuncMarker
	FuncArena
	FuncConfigure
	FuncPrice
	FuncNext
)

// Tariff is a module that a host takes for a tariff. It answers every configuration with reply and
// its tariff_price is the code given, which finds the arena's pointer in local 0 and two more i32
// locals. It has 64 pages of memory and may have 1,024.
func Tariff(reply string, price ...[]byte) *Module {
	const headerSize, replyLen = 128, 76
	none, i32 := Sig{}, []byte{I32}
	return &Module{
		Imports:   []Import{{Module: "tollway_v1", Name: "begin", Sig: Sig{Params: i32}}},
		MemoryMin: 64, MemoryMax: 1_024,
		Data: []Data{{Offset: ReplyAt, Bytes: []byte(reply)}},
		Funcs: []Func{
			{Sig: Sig{Results: i32}, Code: Cat(I32Const(0), Op(End))},
			{Sig: Sig{Params: i32, Results: i32}, Code: Cat(I32Const(ArenaAt), Op(End))},
			{Sig: Sig{Params: []byte{I32, I32}, Results: i32}, Code: Cat(
				I32Const(ArenaAt+headerSize), I32Const(ReplyAt), I32Const(int32(len(reply))), MemoryCopy(),
				I32Const(ArenaAt+replyLen), I32Const(int32(len(reply))), Store32(0),
				I32Const(0), Op(End),
			)},
			{Sig: Sig{Params: i32, Results: i32}, Locals: []byte{I32, I32}, Code: Cat(Cat(price...), I32Const(0), Op(End))},
			{Sig: none, Code: Op(End)},
		},
		Exports: []Export{
			{Name: "memory", Kind: 2},
			{Name: "tariff_abi_v1", Index: FuncMarker},
			{Name: "tariff_arena", Index: FuncArena},
			{Name: "tariff_configure", Index: FuncConfigure},
			{Name: "tariff_price", Index: FuncPrice},
			{Name: "_initialize", Index: FuncNext},
		},
	}
}
