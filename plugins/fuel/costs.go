package fuel

// costs is what each opcode of one byte takes from the fuel. Most take one unit. The others are those whose time
// is far from that of an addition, so that no mix of instructions gets much more time out of a unit than any
// other: divisions, calls through a table, whose target no processor foresees, and above all accesses to memory,
// which may miss every cache and the tables of its pages.
//
// Changing a number moves the instruction at which a module runs out of fuel, so it changes what is rejected.
var costs = makeCosts()

// What an instruction takes, where it is not 1.
const (
	costMemory   = 4
	costDivision = 8
	costFloat    = 2 // and conversions between numbers
	costIndirect = 32
	costTable    = 4
	costVector   = 4
)

func makeCosts() (t [256]uint8) {
	set := func(from, to int, cost uint8) {
		for i := from; i <= to; i++ {
			t[i] = cost
		}
	}
	set(0, 255, 1)
	set(0x28, 0x3e, costMemory)   // loads and stores
	set(0x5b, 0x66, costFloat)    // comparisons of floats
	set(0x6d, 0x70, costDivision) // i32
	set(0x7f, 0x82, costDivision) // i64
	set(0x8b, 0xa6, costFloat)
	t[0x91], t[0x95], t[0x9f], t[0xa3] = costDivision, costDivision, costDivision, costDivision // sqrt and div
	set(0xa8, 0xbf, costFloat)
	t[0xac], t[0xad] = 1, 1 // i64.extend_i32_s and _u
	t[opcCallIndirect] = costIndirect
	t[0x25] = costTable // table.get
	t[opcVector] = costVector
	return t
}
