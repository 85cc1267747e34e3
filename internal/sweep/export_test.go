package sweep

// OneAtATime has a sweeper do one thing after the other, so that what happens in
// between can be repeated.
func OneAtATime() Option { return func(s *Sweeper) { s.atOnce = 1 } }
