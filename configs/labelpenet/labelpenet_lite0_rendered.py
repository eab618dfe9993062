_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/datasets/rendered.py',
    '../_base_/models/labelpenet_lite0.py',
    '../_base_/schedules/quick.py',
]
model = dict(num_classes=4, feature_cache=dict(dir='{{$MMLABELPENET_CACHE:work_dirs/feature_cache}}', max_gib=20))
