from inference.models.model_card import describe


def test_a_card_says_what_the_model_knows_and_where_it_comes_from(make_checkpoint):
    box = [[-92.0, 34.5], [-90.25, 34.5], [-90.25, 36.0], [-92.0, 36.0], [-92.0, 34.5]]
    checkpoint = make_checkpoint(
        classes=2,
        provenance={
            "data": "Simulated fields.",
            "year": 2021,
            "season_start": "2021-01-01",
            "footprint": {"type": "Polygon", "coordinates": [box]},
            "samples": {"crop 1": 1500, "crop 2": 20},
            "seed": 3,
            "epochs": 50,
            "cropmap_version": "0.1.0",
        },
        metrics={
            "accuracy": 0.913,
            "macro_f1": 0.887,
            "split": "blocks of 10 km",
            "classes": [{"name": "crop 1", "precision": 0.9, "recall": 0.8, "f1": 0.847, "samples": 300}],
        },
    )
    card = dict(describe(checkpoint))
    assert card["Network"] == "CropNet compact, 1,035,650 parameters, 10 bands x 43 bins"
    assert card["Classes"] == "1 crop 1 (#018040), 2 crop 2 (#028040)"
    assert card["Trained on"] == "Simulated fields."
    assert card["Year"] == "2021, season from 2021-01-01"
    assert card["Place"] == "longitude -92.00 to -90.25, latitude 34.50 to 36.00"
    assert card["Samples"] == "1,520: 1,500 crop 1, 20 crop 2"
    assert card["Training"] == "50 epochs, seed 3, cropmap 0.1.0"
    assert card["Accuracy"] == "overall 91.3%, macro-F1 88.7%"
    assert card["Held out by"] == "blocks of 10 km"
    assert card["  crop 1"] == "precision 90.0%, recall 80.0%, F1 84.7% of 300"
    assert card["Bands"] == "B2, B3, B4, B8, B5, B6, B7, B8A, B11, B12"
    assert card["Window"] == "days 121 to 334 of the season, 43 bins of 5 days"
    assert card["Clear"] == "cs >= 0.75, else scene classes 4, 5, 6, 7"
    assert card["Digest"] == checkpoint.digest


def test_a_caution_stands_before_the_scores(make_checkpoint):
    card = describe(
        make_checkpoint(provenance={"caution": "Nobody saw it."}, metrics={"accuracy": 1, "macro_f1": 1})
    )
    keys = [key for key, _ in card]
    assert dict(card)["Caution"] == "Nobody saw it."
    assert keys.index("Caution") < keys.index("Accuracy")
    assert "Caution" not in dict(describe(make_checkpoint(provenance={}, metrics={})))


def test_what_a_checkpoint_does_not_state_is_said_to_be_so(make_checkpoint):
    card = dict(describe(make_checkpoint(provenance={}, metrics={})))
    assert card["Trained on"] == card["Place"] == card["Samples"] == card["Accuracy"] == "not stated"
