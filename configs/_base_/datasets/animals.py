# Five animal classes of VOC 2012: 1,427 training images with tags only, 301 test images, for CPU-sized models.
_base_ = './voc12mini.py'

metainfo = dict(classes=('cat', 'cow', 'dog', 'horse', 'sheep'))
__train = dict(split='animals_train', metainfo=metainfo, proposals='data/proposals/animals_animals_train.npz')
__test = dict(split='animals_test', metainfo=metainfo, proposals='data/proposals/animals_animals_test.npz')

train_dataloader = dict(dataset=__train)
label_dataloader = dict(dataset=__train)
test_dataloader = dict(dataset=__test)
test_evaluator = dict(split='animals_test')
corloc_dataloader = dict(dataset=__train)
corloc_evaluator = dict(split='animals_train')
