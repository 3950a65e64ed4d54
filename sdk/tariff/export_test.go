package tariff

// KeyHalves shows a key to tests.
func KeyHalves(k Key) [2]uint64 { return [2]uint64{k.high, uint64(k.low)} }
