//! The settings of each row of `sample`, by the run's words from `Step`'s `draws` on.

const DRAW_WORDS: u32 = 9u;

// The run's word of a setting of a row.
fn setting(row: u32, index: u32) -> u32 {
    return step.draws + row * DRAW_WORDS + index;
}

fn temperature_of(row: u32) -> f32 {
    return run_f32(setting(row, 0u));
}

fn top_k_of(row: u32) -> i32 {
    return run_i32(setting(row, 1u));
}

fn top_p_of(row: u32) -> f32 {
    return run_f32(setting(row, 2u));
}

fn min_p_of(row: u32) -> f32 {
    return run_f32(setting(row, 3u));
}

fn repeat_penalty_of(row: u32) -> f32 {
    return run_f32(setting(row, 4u));
}

fn repeat_last_n_of(row: u32) -> u32 {
    return u32(max(run_i32(setting(row, 5u)), 0));
}

fn seed_of(row: u32) -> u32 {
    return run_u32(setting(row, 6u));
}

// That of the id that is drawn.
fn position_of(row: u32) -> u32 {
    return run_u32(setting(row, 7u));
}

// Where the history holds the id of a position of the row's sequence.
fn place_in_history(row: u32, position: u32) -> u32 {
    return run_u32(setting(row, 8u)) + position % step.history_len;
}

// Whether the largest logit is the choice: no temperature, and no penalty that could change it.
fn is_greedy(row: u32) -> bool {
    return temperature_of(row) == 0.0 && (!HAS_HISTORY || repeat_penalty_of(row) == 1.0 || repeat_last_n_of(row) == 0u);
}
