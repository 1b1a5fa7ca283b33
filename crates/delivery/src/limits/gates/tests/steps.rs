//! Do the bounds hold whatever comes, in whatever order?

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Enter(u8, bool),
    Leave(usize, u8),
    Again(usize),
    GiveUp(usize),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u8..5, any::<bool>()).prop_map(|(key, retry)| Step::Enter(key, retry)),
        2 => (any::<usize>(), 0_u8..3).prop_map(|(which, end)| Step::Leave(which, end)),
        1 => any::<usize>().prop_map(Step::Again),
        1 => any::<usize>().prop_map(Step::GiveUp),
        1 => (0_u64..5_000).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..400)
}

proptest! {
    #[test]
    fn caps_and_room_hold_and_everything_comes_back(steps in steps(), cap in prop::option::of(1_u32..5)) {
        let mut gates = Gates::new([30, 10], 3);
        let limits = Limits { in_flight: cap, rate: Rate::new(5.0, 3), ..limits() };
        let (mut now, mut passes, mut places) = (NOW, Vec::new(), Vec::new());
        let held = |entry: Entry, passes: &mut Vec<Pass>, places: &mut Vec<Place>| match entry {
            Entry::Go(pass) => passes.push(pass),
            Entry::Wait(place) => places.push(place),
            Entry::Park { .. } => {}
        };
        for step in steps {
            match step {
                Step::Pass(millis) => now += Duration::from_millis(millis),
                Step::Enter(key, retry) => {
                    let lane = if retry { Lane::Retry } else { Lane::First };
                    let entry = gates.enter(&callee(&key.to_string()), lane, &limits, false, now);
                    held(entry, &mut passes, &mut places);
                }
                Step::Leave(which, kind) if !passes.is_empty() => {
                    let kind = [End::Success, End::Failure, End::Neutral][usize::from(kind)];
                    let ended = if which % 2 == 0 { fast() } else { end(kind) };
                    gates.leave(passes.swap_remove(which % passes.len()), &ended, now);
                }
                Step::Again(which) if !places.is_empty() => {
                    let entry = gates.again(places.swap_remove(which % places.len()), &limits, false, now);
                    held(entry, &mut passes, &mut places);
                }
                Step::GiveUp(which) if !places.is_empty() => {
                    gates.give_up(places.swap_remove(which % places.len()));
                }
                _ => {}
            }
            prop_assert!(gates.waiting[0] <= 7 && gates.waiting[1] <= 2);
            let waiting: usize = gates.waiting.iter().map(|it| *it as usize).sum();
            let in_the_room = places.iter().filter(|place| !place.brief);
            prop_assert_eq!(waiting, in_the_room.count());
            // A call of 5 ms, rounded up, fits nine times into a moment at the most.
            let brief = places.iter().filter(|place| place.brief).count();
            prop_assert!(brief <= 3 * 2 * 9 * 5, "{brief}");
            for seen in gates.seen(100, now).keys {
                let most = cap.unwrap_or(3 + 1);
                prop_assert!(seen.in_flight <= most, "{}", seen.in_flight);
            }
        }
        for place in places {
            gates.withdraw(place);
        }
        for pass in passes {
            gates.leave(pass, &Ended::unsaid(), now);
        }
        prop_assert_eq!(gates.waiting, [0, 0]);
        prop_assert!(gates.gates.iter().flatten().all(Gate::is_idle));
    }
}
