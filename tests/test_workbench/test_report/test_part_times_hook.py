"""Where the time goes, in the log."""

from training import train


def test_times_of_all_parts_are_logged(toy_root, tmp_path):
    runner = train(toy_root, tmp_path, phases=[('recurrent', 2)], hooks=[dict(type='PartTimesHook')])
    scalars = {key[6:]: runner.message_hub.get_scalar(key).current() for key in runner.message_hub.log_scalars if 'time' in key}
    parts = ['backbone', 'classification', 'detection', 'refinement', 'segmentation', 'labels', 'crf', 'update']
    assert all(scalars[f'{part}.time'] > 0 for part in parts)
