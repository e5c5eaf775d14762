"""How a run behaves: gate, waivers, evidence, settling, reports."""
