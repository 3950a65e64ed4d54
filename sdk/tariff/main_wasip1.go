package tariff

// Main is for native runs; the engine calls the exports and never main.
func (m *Module) Main() {}
