"""A fine-tune's life in `hemline up`, which is killed in it everywhere."""

import signal

import pytest

pytestmark = pytest.mark.timeout(900)


def assert_one_promotion(up) -> None:
    """Version 2 serves, made by one run, decided once, and every decision is in the log once."""
    assert up.read("rollout.json") == {"revision": 2, "stable": 2}
    kinds = up.kinds()
    for kind in ("FineTuneDue", "FineTuneEnded", "Promoted"):
        assert kinds.count(kind) == 1, kinds
    sequences = [event["sequence"] for event in up.events()]
    assert sequences == list(range(1, len(sequences) + 1))
    state = up.read("lifecycle.json")
    assert (state["created"], state["ended"], state["promoted"]) == (1, 1, 1)
    assert "active" not in state


def test_a_new_version_goes_live_and_everything_ends_in_order(up) -> None:
    up.start()
    up.until_ready()
    up.feed(12)
    up.until(lambda: up.starts("mnist-ft-1") == 1, "trainer")
    assert up.status()["fine_tune"]["uid"] == "mnist-ft-1"
    assert {"inference", "collect", "serve", "trainer/mnist-ft-1"} == set(up.children())
    up.release.touch()
    up.until_event("Promoted")
    up.until(lambda: up.status("inference").get("revision") == 2, "new version in inference")
    assert up.status("inference")["serving"] == [2]
    assert_one_promotion(up)
    assert up.stop() == 0
    assert up.children() == {}
    assert up.read("up.json")["state"] == "stopped"


@pytest.mark.slow
def test_killed_at_every_act_one_trainer_runs(up) -> None:
    """Its n-th life ends before or after its n-th act (a file written, a process started), until all is done."""
    up.start()
    up.until_ready()
    up.feed(12)
    up.kill()
    lives = 0
    while lives < 60:
        lives += 1
        up.start(KILL_UP_AT=str(lives))
        if lives == 12:
            up.release.touch()
        up.until(
            lambda: up.process.poll() is not None or "Promoted" in up.kinds(),
            "end of this life",
            running=False,
        )
        if up.process.poll() is None:
            break
        assert up.process.returncode == -signal.SIGKILL, up.log()
    assert "Promoted" in up.kinds(), f"not done after {lives} lives:\n{up.log()}"
    # A life that got so far is still bound to end at its n-th act; what follows needs one that is not.
    up.kill()
    up.start()
    up.until(lambda: up.status("inference").get("revision") == 2, "new version in inference")
    assert_one_promotion(up)
    assert up.starts("mnist-ft-1") == 1
    assert lives > 10
    up.feed(5)
    up.until(
        lambda: (up.status().get("fine_tune", {}).get("fresh") or 0) >= 5, "new samples counted"
    )
    assert up.kinds().count("FineTuneDue") == 1


def test_a_killed_trainer_is_started_again_with_the_same_uid(up) -> None:
    up.start()
    up.until_ready()
    up.feed(10)
    up.until(lambda: up.starts("mnist-ft-1") == 1, "trainer")
    up.children()["trainer/mnist-ft-1"].kill()
    up.until(lambda: up.starts("mnist-ft-1") == 2, "second start")
    up.release.touch()
    up.until_event("Promoted")
    assert_one_promotion(up)
    assert "FineTuneRetried" in up.kinds()


@pytest.mark.slow
def test_a_trainer_that_ends_while_nobody_looks_is_judged_later(up) -> None:
    up.start()
    up.until_ready()
    up.feed(10)
    up.until(lambda: up.starts("mnist-ft-1") == 1, "trainer")
    up.kill()
    trainer = up.children()["trainer/mnist-ft-1"]
    up.release.touch()
    trainer.wait(120)
    up.start()
    up.until_event("Promoted")
    assert_one_promotion(up)
    assert up.starts("mnist-ft-1") == 1


@pytest.mark.slow
def test_a_run_that_always_fails_is_given_up_and_not_begun_again(up) -> None:
    up.start("--retries", "1", STAND_IN_FAILS="yes")
    up.until_ready()
    up.feed(10)
    up.until_event("FineTuneFailed")
    assert up.starts("mnist-ft-1") == 2
    assert up.read("rollout.json") == {"revision": 1, "stable": 1}
    up.feed(9)
    up.until(lambda: up.status()["fine_tune"]["fresh"] == 9, "new samples counted")
    assert up.kinds().count("FineTuneDue") == 1
    assert up.status()["fine_tune"]["why"] == "9 of 10 new labelled samples"


@pytest.mark.slow
def test_killed_services_come_back_on_their_ports(up) -> None:
    up.start()
    up.until_ready()
    before = up.read("up.json")["processes"]
    for name in ("inference", "collect", "serve"):
        up.children()[name].kill()
    up.until_event("ProcessRestarted", 3)
    up.until_ready()
    after = up.read("up.json")["processes"]
    for name, addresses in before.items():
        assert after[name]["http"] == addresses["http"]
        assert after[name].get("listen") == addresses.get("listen")
        assert after[name]["pid"] != addresses["pid"]
    up.feed(10)
    up.until_event("FineTuneDue")


@pytest.mark.slow
def test_services_outlive_it_and_are_taken_over(up) -> None:
    up.start()
    up.until_ready()
    before = {name: process.pid for name, process in up.children().items()}
    up.kill()
    assert {name: process.pid for name, process in up.children().items()} == before
    up.start()
    up.until_event("Ready", 2)
    assert {name: process.pid for name, process in up.children().items()} == before
    assert "3 processes were still running" in up.events()[-1]["message"]


@pytest.mark.slow
def test_services_with_other_options_are_started_again(up) -> None:
    up.start()
    up.until_ready()
    before = {name: process.pid for name, process in up.children().items()}
    up.kill()
    up.start("--threads", "2")
    up.until_event("Ready", 2)
    after = {name: process.pid for name, process in up.children().items()}
    assert after["inference"] != before["inference"]
    assert (after["serve"], after["collect"]) == (before["serve"], before["collect"])


def test_a_second_one_is_turned_away(up) -> None:
    up.start()
    up.until_ready()
    second = up.hemline("up", "--data", "none")
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert f"in use by hemline up, process {up.process.pid}" in second.stderr
    other = up.stop()
    assert other == 0
    wrong = up.hemline("up", "--data", "none", "--classifier", "shoes")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "belongs to the classifier 'mnist'" in wrong.stderr


@pytest.mark.slow
def test_the_real_trainer_is_run_judged_and_obeyed(real_up) -> None:
    up = real_up
    up.options = ["--data", "none", "--every", "120", "--steps", "3", "--batch-size", "32"]
    up.start()
    up.until_ready()
    up.feed(150, inverted=True)
    up.until(lambda: "trainer/mnist-ft-1" in up.children(), "trainer")
    up.kill()
    up.start()
    up.until_event("FineTuneEnded")
    ended = next(event for event in up.events() if event["kind"] == "FineTuneEnded")
    state = up.read("lifecycle.json")
    assert state["last"]["outcome"] == ended["reason"]
    promoted = ended["reason"] == "Improved"
    assert up.read("rollout.json")["stable"] == (ended["version"] if promoted else 1)
    assert up.kinds().count("FineTuneStarted") == 1
    assert up.kinds().count("FineTuneDue") == 1


def test_a_canary_answers_its_share_and_goes_live(up) -> None:
    up.options += ["--canary", "0.5", "--canary-labels", "10"]
    up.start()
    up.until_ready()
    up.feed(12)
    up.release.touch()
    up.until_event("CanaryStarted")
    assert up.read("rollout.json") == {
        "revision": 2,
        "stable": 1,
        "canary": {"version": 2, "fraction": 0.5},
    }
    up.until(lambda: "since" in up.read("lifecycle.json")["canary"], "trial")
    up.kill()
    up.start()
    up.until_event("Ready", 2)
    up.feed(60)
    up.until_event("Promoted")
    assert up.read("rollout.json") == {"revision": 3, "stable": 2}


@pytest.mark.slow
def test_a_version_that_inference_refuses_gives_way_to_the_one_before(up) -> None:
    up.start()
    up.until_ready()
    up.feed(12)
    up.until(lambda: up.starts("mnist-ft-1") == 1, "trainer")
    up.children()["inference"].suspend()
    up.release.touch()
    up.until_event("Promoted")
    damaged = up.state / "lake" / "mnist" / "models" / "2" / "model.onnx"
    damaged.write_bytes(b"damaged" + damaged.read_bytes()[7:])
    up.children()["inference"].resume()
    up.until_event("RolledBack")
    assert up.read("rollout.json") == {"revision": 3, "stable": 1}
    assert "inference refuses version 2" in up.events()[-1]["message"]
