"""The paper's Tables 1-4 as presets: what each row is, its size, its runs, and the table of what came out."""
