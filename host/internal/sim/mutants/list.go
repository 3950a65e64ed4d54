package main

// edit replaces a piece of a file, which must be there exactly once.
type edit struct{ file, old, new string }

// mutant is a bug that a host could have. Nothing of it is in the program: the
// edits are made to copies of the files, which the compiler is given instead.
type mutant struct {
	name  string
	edits []edit
}

// mutants are bugs of the kind that loses or doubles money after a failure.
var mutants = []mutant{
	{"shown as committed before it is durable", []edit{
		{"host/commit.go", "	if err := c.store(ctx, &commit); err != nil {", "	p.state.Durable(cut.state)\n	p.host.committed(p, func(fn func(account string)) { p.state.AccountsOf(cut.state, fn) })\n	if err := c.store(ctx, &commit); err != nil {"},
		{"host/commit.go", "	p.state.Durable(g)\n	if err := p.arrived(g.Header); err != nil {\n		return err\n	}\n	p.host.committed(p, func(fn func(account string)) { p.state.AccountsOf(g, fn) })\n	return nil\n", "	return p.arrived(g.Header)\n"},
	}},
	{"position committed before what it stands for", []edit{
		{"host/commit.go", "	failpoint.Hit(\"commit.before-store\")\n", "	if err := c.store(ctx, &checkpoint.Commit{Header: commit.Header}); err != nil {\n		return err\n	}\n	failpoint.Hit(\"commit.before-store\")\n"},
	}},
	{"position committed after what it stands for", []edit{
		{"host/commit.go", "	failpoint.Hit(\"commit.before-store\")\n", "	failpoint.Hit(\"commit.before-store\")\n	before, header := p.state.Header(), commit.Header\n	var err error\n	if commit.Header, err = before.Encode(); err != nil {\n		return err\n	}\n	if before.Position > 0 {\n		if err := c.store(ctx, &commit); err != nil {\n			return err\n		}\n		commit = checkpoint.Commit{}\n	}\n	commit.Header = header\n"},
	}},
	{"counter of duplicates not in the commit", []edit{
		{"host/commit.go", "	if commit.Header, err = g.Header.Encode(); err != nil {", "	h := g.Header\n	h.Counters.Read -= h.Counters.Duplicates - p.state.Header().Counters.Duplicates\n	h.Counters.Duplicates = p.state.Header().Counters.Duplicates\n	if commit.Header, err = h.Encode(); err != nil {"},
	}},
	{"verdicts on dead letters not in the commit", []edit{
		{"host/commit.go", "accumulate.LogSlots, accumulate.LogVerdicts, accumulate.LogIndex} {", "accumulate.LogSlots, accumulate.LogIndex} {"},
	}},
	{"slots trimmed before they are written again", []edit{
		{"host/commit.go", "commit.Trim[accumulate.LogSlots] = c.roundFrom", "commit.Trim[accumulate.LogSlots] = p.store.LogLast(accumulate.LogSlots)"},
	}},
	{"stale epoch accepted", []edit{
		{"host/outbox.go", "anchor); err != nil {", "anchor); err != nil && !errors.Is(err, stream.ErrFenced) {"},
	}},
	{"published before its anchor", []edit{
		{"host/outbox.go", "	now := o.host.config.Now()\n	if stands", "	for _, c := range behind {\n		if err := c.publish(ctx, stands.entries[c.log]); err != nil {\n			return err\n		}\n	}\n	now := o.host.config.Now()\n	if stands"},
	}},
	{"published beyond its anchor", []edit{
		{"host/outbox.go", "if err := c.publish(ctx, stands.entries[c.log]); err != nil {", "if err := c.publish(ctx, p.store.LogLast(c.log)); err != nil {"},
	}},
	{"close acted on before it is read back", []edit{
		{"host/periods.go", "	return h.appendOnce(ctx, p.number, subject, body)\n", "	position, err := h.appendOnce(ctx, p.number, subject, body)\n	if err == nil {\n		p.state.Now().Close(c.Calendar, period.End.UnixNano())\n	}\n	return position, err\n"},
	}},
	{"period closed twice", []edit{
		{"host/close.go", "period = calendar.PeriodOf(time.Unix(0, until))", "period = calendar.PeriodOf(time.Unix(0, until-1))"},
	}},
	{"close forgets the periods before it", []edit{
		{"host/close.go", "	if until := h.ClosedUntil(c.Calendar); until != rate.Beginning {\n", "	if until := h.ClosedUntil(c.Calendar); false {\n"},
		{"host/close.go", "first < c.Start.UnixNano() {", "first < rate.Beginning {"},
	}},
	{"late event folded into the period that is billed", []edit{
		{"host/rate/route.go", "if until := c.closedUntil(b); e.Time < until {", "if until := c.closedUntil(b); e.Time < until-int64(30*24*time.Hour) {"},
	}},
	{"late usage has all of its period folded by the catalog of then", []edit{
		{"host/inherit.go", "		r.catalog = c\n", "		r.catalog = r.partition.catalog\n"},
	}},
	{"catalog that reaches back leaves closed periods as they are", []edit{
		{"host/reprice.go", "		r.Open, r.Whole = true, false\n", ""},
	}},
	{"usage folded again later forgets what has repriced it", []edit{
		{"host/past.go", "	if repriced >= 0 {\n		marks = marks[repriced:]\n	}\n", ""},
		{"host/past.go", "	if repriced >= 0 {\n		list[0].from = 0\n	}\n", ""},
	}},
	{"adjustment forgets the one before it", []edit{
		{"host/adjust.go", "				r.Invoices = append(slices.Clip(r.Invoices), accumulate", "				r.Invoices = append([]accumulate.InvoiceRef{}, accumulate"},
	}},
	{"usage is folded again without what is not in the index yet", []edit{
		{"host/positions.go", "	if x.events > 0 {\n		spans = append", "	if x.events > blockEvents {\n		spans = append"},
	}},
	{"period that is adjusted stays open", []edit{
		{"host/adjust.go", "r.Open, r.Whole, r.Causes, r.More, r.Waits = false, false, nil, 0, nil", "r.Whole, r.Causes, r.More = false, nil, 0"},
	}},
	{"what a period leaves drops the usage before the first level", []edit{
		{"host/late.go", "	r := &refold{\n		partition: p, accounts: accounts,", "	if from := p.state.Now().Carrying[accumulate.PeriodKey{Calendar: c, Start: start}]; len(heirs) > 0 {\n		spans = slices.DeleteFunc(spans, func(s span) bool { return s.last < from })\n		for i := range spans {\n			spans[i].first = max(spans[i].first, from)\n		}\n	}\n	r := &refold{\n		partition: p, accounts: accounts,"},
	}},
	{"correction leaves the level of an earlier version", []edit{
		{"host/adjust.go", "		nothing.CarryOut = nil\n", ""},
		{"host/adjust.go", "slices.Concat(last, followed, c.empty)", "slices.Concat(followed, last, c.empty)"},
	}},
	{"level of a version is not handed on within the period", []edit{
		{"host/close.go", "		if err := give.handOn(ctx, bills); err != nil {", "		if err := give.handOn(ctx, nil); err != nil {"},
		{"host/adjust.go", "	return give.handOn(ctx, bills)\n", "	return give.handOn(ctx, nil)\n"},
	}},
	{"late usage does not change the level that a version takes over", []edit{
		{"host/adjust.go", "	return give.handOn(ctx, bills)\n", "	return give.handOn(ctx, nil)\n"},
	}},
	{"subscription that has ended counts to the end of the period", []edit{
		{"host/close.go", "p.rater.Span(s); known && (from", "p.rater.Span(s); known && s.Events == 0 && (from"},
	}},
	{"late usage that is refused owes the fees of its period", []edit{
		{"host/adjust.go", "		if !k.begun(r) {", "		if !k.begun(r) && false {"},
	}},
	{"period that was opened for refused usage stays open", []edit{
		{"host/late.go", "		if !r.Whole || k.begun(r) {", "		if r.Open || k.begun(r) {"},
	}},
	{"correction is of the first event of an identity", []edit{
		{"host/void.go", "e.Identity == id && e.Content == seen.Content && ", "e.Identity == id && "},
	}},
	{"void forgotten when a period is folded again", []edit{
		{"host/accumulate/overrides.go", "return o.Voided || o.TakenBack }", "return o.TakenBack }"},
	}},
	{"void not restored after a crash", []edit{
		{"host/accumulate/overrides.go", "	l.state.overrides[[16]byte(key)] = o\n", "	if !o.Voided {\n		l.state.overrides[[16]byte(key)] = o\n	}\n"},
	}},
	{"void of a void bills the event again", []edit{
		{"host/void.go", "		return nil, true, nil\n	case was.Voided:\n", "		return nil, false, p.state.SetOverride(id, accumulate.Override{})\n	case was.Voided:\n"},
	}},
	{"amended event keeps what it said", []edit{
		{"host/inherit.go", "			err = p.amend(ctx, r.decoder, e)\n", "			err = nil\n"},
	}},
	{"amendment that no tariff takes is made", []edit{
		{"host/void.go", "	if len(out.Rejected) > 0 {\n		return &refusal", "	if len(out.Rejected) > 1 {\n		return &refusal"},
	}},
	{"redelivered message folded twice", []edit{
		{"host/partition.go", "Reader(ctx, p.number, p.state.Header().Position)", "Reader(ctx, p.number, max(p.state.Header().Position, 1)-1)"},
	}},
	{"batch's last event dropped", []edit{
		{"host/fold.go", "	q.events = p.decoder.Decode(m.Header.Get, m.Data, q.events)\n", "	n := len(q.events)\n	if q.events = p.decoder.Decode(m.Header.Get, m.Data, q.events); len(q.events) > n+2 {\n		q.events = q.events[:len(q.events)-1]\n	}\n"},
	}},
	{"identities not restored after a crash", []edit{
		{"host/identity/open.go", "		err = r.each(func(at *record) { g.add(&at.id, keyOf(&at.id), &at.Content, at.Position, at.until) })", "		err = r.each(func(at *record) {})"},
	}},
	{"identities committed one checkpoint late", []edit{
		{"host/commit.go", "return &cut{state: g, seen: p.seen.Cut(), calm: calm}, nil", "if c.lag.state == nil {\n		c.lag.seen = p.seen.Cut()\n	}\n	was := c.lag.seen\n	c.lag = cut{state: g, seen: p.seen.Cut()}\n	return &cut{state: g, seen: was, calm: calm}, nil"},
		{"host/commit.go", "	// run's:\n", "	lag cut\n\n	// run's:\n"},
	}},
	{"identity expires one period early", []edit{
		{"host/close.go", "		h.Close(c.Calendar, period.End.UnixNano())\n", "		h.Close(c.Calendar, period.End.UnixNano())\n		p.seen.Expire(period.End.UnixNano() + int64(32*24*time.Hour))\n"},
	}},
	{"dead letter's identity counts as seen", []edit{
		{"host/triage.go", "			p.seen.Forget(e.Identity)\n", ""},
	}},
	{"conflict of identities taken for a duplicate", []edit{
		{"host/triage.go", "		if e.Content != seen.Content {", "		if false {"},
	}},
	{"replay prices what is priced already", []edit{
		{"host/triage.go", "r != nil && r.back[r.letters[i]] && e.Content == seen.Content", "r != nil && e.Content == seen.Content"},
	}},
	{"replay of a settled dead letter", []edit{
		{"host/letters.go", "	if !p.state.LetterOpen(ref.Number) {", "	if p.state.Letter(ref.Number) == nil && ref.Number > p.store.LogLast(accumulate.LogDeadLetters) {"},
	}},
	{"catalog in force forgotten by a crash", []edit{
		{"host/control.go", "	header.CatalogRevision, header.CatalogDigest = c.Revision, c.Digest\n", "	if header.CatalogRevision == 0 {\n		header.CatalogRevision, header.CatalogDigest = c.Revision, c.Digest\n	}\n"},
	}},
	{"slots read half from one checkpoint, half from the next", []edit{
		{"host/accumulate/read.go", "	if v == Latest {\n		return names, c, epoch, true", "	if v == Latest || l.Events > 3 {\n		return names, c, epoch, true"},
	}},
	{"another log accepted under the same name", []edit{
		{"host/partition.go", "	if messageDigest(*m) != h.Digest {", "	if len(messageDigest(*m)) != len(h.Digest) {"},
	}},
	{"a log that has lost its tail accepted", []edit{
		{"host/partition.go", "	if last < h.Position {", "	if last+1 < h.Position {"},
		{"host/partition.go", "	m, err := p.host.conn.Get(ctx, name, h.Position)", "	if last < h.Position {\n		return nil\n	}\n	m, err := p.host.conn.Get(ctx, name, h.Position)"},
	}},
}
