//! Decoding speed over the number of tokens in the cache.

use super::super::report::ContextPoint;
use super::axis::{Axis, short};
use super::svg::{Anchor, COLOURS, GRID, INK, Svg, shortened};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 500.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 640.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 430.0;

/// One line of the plot.
#[derive(Clone, Debug)]
pub struct Series {
    pub name: String,
    pub points: Vec<ContextPoint>,
}

/// One line a series through its medians, with a band from minimum to maximum; both axes start at 0. `None` without a point.
pub fn decode_over_context(title: &str, series: &[Series]) -> Option<String> {
    let all = || series.iter().flat_map(|s| &s.points);
    all().next()?;
    let x_high = all().map(|p| p.context as f64).fold(1.0, f64::max);
    let y_high = all().map(|p| p.tokens_per_second.max).fold(0.0, f64::max);
    let (x, y) = (Axis::linear(x_high, LEFT, RIGHT), Axis::linear(y_high.max(1e-3), BOTTOM, TOP));

    let mut svg = Svg::new(WIDTH, HEIGHT);
    svg.text((LEFT, 30.0), 18.0, Anchor::Start, INK, title);
    for tick in x.ticks() {
        svg.line((x.at(tick), TOP), (x.at(tick), BOTTOM), GRID, 1.0, false);
        svg.text((x.at(tick), BOTTOM + 20.0), 13.0, Anchor::Middle, INK, &short(tick));
    }
    for tick in y.ticks() {
        svg.line((LEFT, y.at(tick)), (RIGHT, y.at(tick)), GRID, 1.0, false);
        svg.text((LEFT - 8.0, y.at(tick) + 4.5), 13.0, Anchor::End, INK, &short(tick));
    }
    svg.rect((LEFT, TOP), (RIGHT - LEFT, BOTTOM - TOP), INK);
    svg.text(((LEFT + RIGHT) / 2.0, BOTTOM + 46.0), 14.0, Anchor::Middle, INK, "tokens in the cache");
    svg.turned_text((24.0, (TOP + BOTTOM) / 2.0), -90.0, 14.0, Anchor::Middle, INK, "decode, tokens a second");
    for (i, series) in series.iter().enumerate().filter(|(_, s)| !s.points.is_empty()) {
        line(&mut svg, x, y, series, COLOURS[i % COLOURS.len()]);
        let row = TOP + 12.0 + 24.0 * i as f64;
        svg.line((RIGHT + 18.0, row), (RIGHT + 42.0, row), COLOURS[i % COLOURS.len()], 2.5, false);
        svg.text((RIGHT + 50.0, row + 4.5), 13.0, Anchor::Start, INK, &shortened(&series.name, 28));
    }
    Some(svg.finish())
}

fn line(svg: &mut Svg, x: Axis, y: Axis, series: &Series, colour: &str) {
    let mut points = series.points.clone();
    points.sort_by_key(|p| p.context);
    let at = |p: &ContextPoint, v: f64| (x.at(p.context as f64), y.at(v));
    let mut band: Vec<(f64, f64)> = points.iter().map(|p| at(p, p.tokens_per_second.max)).collect();
    band.extend(points.iter().rev().map(|p| at(p, p.tokens_per_second.min)));
    svg.area(&band, colour, 0.18);
    let medians: Vec<(f64, f64)> = points.iter().map(|p| at(p, p.tokens_per_second.median)).collect();
    svg.polyline(&medians, colour, 2.5);
    medians.into_iter().for_each(|m| svg.circle(m, 4.0, colour));
}

#[cfg(test)]
mod tests {
    use super::super::super::report::tests::sample;
    use super::*;

    #[test]
    fn each_series_has_a_line_a_band_and_a_name() {
        let points = sample().decode_over_context;
        let series = [Series { name: "vulkan & co".to_owned(), points: points.clone() }, Series { name: "cpu".to_owned(), points }];
        let svg = decode_over_context("tinyllama-q4_0.gguf", &series).unwrap();
        assert_eq!((svg.matches("<polyline").count(), svg.matches("<polygon").count(), svg.matches("<circle").count()), (2, 2, 10));
        assert!(svg.contains("vulkan &amp; co"));
        assert!(decode_over_context("nothing", &[]).is_none());
    }
}
